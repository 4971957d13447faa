"""Code blocks of the documentation, and the commands that bash makes of them."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
STUB = """#!/bin/bash
printf '%s\\0' "${0##*/}" "$@" >> "$DOCS_LOG"
printf '\\n\\0' >> "$DOCS_LOG"
[[ -z $DOCS_REAL || ${0##*/} != python ]] && exit 0
[[ $2 == imjax.main ]] && set -- "$@" $DOCS_MORE
exec "$DOCS_REAL" "$@"
"""
"""Stands in for a program: writes down how it was called, and then runs the real python if asked to."""


@dataclasses.dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    file: str
    """Path of the file that the block holds; empty if it holds none."""
    text: str

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Fenced blocks of a page in order, without those marked `no-test` (they need a cluster, for example)."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^```(\S*)([^\n]*)\n(.*?)^```$", text, re.M | re.S):
        if "no-test" in match[2].split():
            continue
        file = re.search(r"file=(\S+)", match[2])
        line = text[: match.start()].count("\n") + 1
        found.append(Block(page.name, line, match[1], file[1] if file else "", match[3]))
    return found


ALL = [block for page in PAGES for block in blocks(page)]


def of(page: str, *languages: str) -> list[Block]:
    """The blocks of one page in these languages."""
    return [block for block in ALL if block.page == page and block.language in languages]


class Shell:
    """Bash in a folder, with stand-ins for python and for what the setup installs.

    A stand-in records its arguments instead of running the program.

    Args:
        folder: working directory of the commands; it stands for the top of the repository.
        environment: environment variables of the commands.
        real: whether python runs as well.
        more: additional flags for every call of `imjax.main`.
    """

    def __init__(self, folder: Path, environment: dict[str, str], real: bool = False, more: str = ""):
        self.folder, self._log = folder, folder / "commands.log"
        stubs = folder / ".venv" / "bin"
        stubs.mkdir(parents=True)
        for name in ("python", "bash", "imjax", "pre-commit", "mypy"):
            (stubs / name).write_text(STUB)
            (stubs / name).chmod(0o755)
        path = os.pathsep.join([str(stubs), environment.get("PATH", os.defpath)])
        self._environment = environment | {
            "PATH": path, "DOCS_LOG": str(self._log), "DOCS_REAL": sys.executable if real else "",
            "DOCS_MORE": more, "GIT_CEILING_DIRECTORIES": str(folder.parent),
        }  # fmt: skip

    def run(self, block: Block) -> list[list[str]]:
        """Run a block; returns the recorded commands, each as a list of words."""
        self._log.write_bytes(b"")
        # Not the stub, which is for what blocks call.
        line = [shutil.which("bash"), "-euo", "pipefail", "-c", block.text]
        done = subprocess.run(
            line, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{block.name}: {done.stdout[-1500:]}{done.stderr[-3000:]}"
        return [call.split("\0")[:-1] for call in self._log.read_text().split("\n\0")[:-1]]

    def apply(self, block: Block) -> None:
        """Write the file that a block holds, or apply its diff."""
        if block.language == "diff":
            line = ["git", "apply", "-"]
            done = subprocess.run(
                line, cwd=self.folder, env=self._environment, input=block.text, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{block.name}: {done.stderr}"
            return
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")


def linked(folder: Path) -> Path:
    """A folder with links to the repository's packages: commands may run in it, not change it."""
    folder.mkdir()
    for name in ("imjax", "configs", "launch"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def copied(folder: Path) -> Path:
    """A folder with copies of the repository's packages, which a test may change."""
    for name in ("imjax", "configs", "launch"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "user_errors.py", folder / "tests")
    return folder
