"""The Dockerfile copies existing files, installs pinned packages only, and names no host."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in re.sub(r"\\\n", " ", TEXT).splitlines()
    if line.strip() and not line.startswith("#")
]


def instructions(name):
    """Arguments of every instruction of this name."""
    return [arguments for instruction, arguments in INSTRUCTIONS if instruction == name]


def test_instructions_are_known_and_begin_with_the_base_image():
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD", "ENV"}
    assert {instruction for instruction, _ in INSTRUCTIONS} <= known
    assert INSTRUCTIONS[0] == ["FROM", "python:3.11-slim"]
    assert instructions("ENTRYPOINT") == ['["imjax"]']


@pytest.mark.parametrize("arguments", instructions("COPY"))
def test_copied_files_exist(arguments):
    *sources, _ = arguments.split()
    assert sources and all((ROOT / source).exists() for source in sources)


def test_every_package_is_pinned():
    # A later build of the same Dockerfile must install the same versions.
    assert "apt-get" not in TEXT or re.search(r"apt-get install[^\n]*=", TEXT)
    for command in instructions("RUN"):
        if "pip install" in command:
            assert "--requirement requirements.txt" in command or "--no-deps ." in command
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert all("==" in line for line in lines if line and not line.startswith("#"))


def test_it_names_no_host_and_does_not_end_as_root():
    assert not re.search(r"https?://|--index-url|--extra-index|--trusted-host", TEXT)
    assert not any("/" in image.split(":")[0] for image in instructions("FROM"))
    assert instructions("USER")[-1] != "root"
