"""Every code block of README.md, CONTRIBUTING.md and docs/ is run or checked.

* `bash`: each block runs in bash, with stand-ins for python and the setup that record their arguments. The
  test then checks the commands that bash made of the block (loops, braces, continued lines): every flag
  exists, every configuration file exists, is valid with its `--config.` keys and makes a plan, every sweep
  makes runs, every dataset is known, test files exist. Nothing trains.
* The path of a new user really runs, with fewer steps: own_data.md from top to bottom, then the prediction
  and the export of predict.md.
* first_project.md: its images are drawn and checked, and its commands called in their order with stand-ins.
* add_method.md and add_dataset.md: the test writes the files, applies the diffs in a copy of the tree and
  runs all commands there; the new method trains with fewer steps, other configurations are only planned.
* `python` without `file=` runs on the results of those runs, that of export.md in tests/inference. `csv` is
  read like the tables of a folder.
* `bibtex` entries have a title, authors, a year and an arXiv number. Citations and links resolve.
* Blocks without a language are listings and outputs.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from documents import ALL, PAGES, ROOT, Block, Shell, copied, linked, of

from benchmarks.result_tables import select_groups
from imjax import cli
from imjax.config.constraints import check
from imjax.config.convert import freeze
from imjax.config.schema import Data
from imjax.data.folder import tables
from imjax.data.folder.check import check_folder
from imjax.data.readers import registry
from imjax.data.synthetic import writers
from imjax.errors import UserError
from imjax.pipeline.plan import make_plan
from launch import sweep
from launch.grid import make_points

BASH = [block for block in ALL if block.language == "bash"]
WORKED = ("add_method.md", "add_dataset.md")
TUTORIAL = ROOT / "docs" / "tutorials" / "first_project.md"
SMALLER = (
    "--config.train.epochs=1 --config.train.steps_per_epoch=2 --config.generations=1 "
    "--config.data.synthetic.num_train=24 --config.data.synthetic.num_val=8 "
    "--config.data.synthetic.num_test=8"
)
KINDS = ("string", "multi_string", "bool", "boolean", "integer", "float", "enum", "list", "multi_integer")


def test_every_language_is_one_that_is_covered():
    assert {block.language for block in ALL} <= {"bash", "python", "diff", "csv", "bibtex", ""}
    loose = [block for block in ALL if block.language == "python" and not block.file]
    assert {block.page for block in loose} <= {"README.md", "predict.md", "results_csv.md", "export.md"}
    assert {block.page for block in ALL if block.file or block.language == "diff"} == set(WORKED)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for address in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"https?://|#", address):
            assert (page.parent / address.partition("#")[0]).exists(), address


METHODS_PAGE = ROOT / "docs" / "explanation" / "methods.md"
SOURCES = [path for top in ("imjax", "configs", "benchmarks", "tests") for path in (ROOT / top).rglob("*.py")]


def test_citations_of_methods_md_have_a_section():
    sections = set(re.findall(r'<a id="([\d.]+)"></a>', METHODS_PAGE.read_text(encoding="utf-8")))
    cited = {
        number
        for path in SOURCES
        for number in re.findall(r"[Mm]ethods\.md (\d(?:\.\d+)?)", path.read_text(encoding="utf-8"))
    }
    assert cited and cited <= sections, cited - sections


def test_anchors_of_methods_md_exist():
    sections = set(re.findall(r'<a id="([\d.]+)"></a>', METHODS_PAGE.read_text(encoding="utf-8")))
    linked_sections = {
        number
        for page in PAGES
        for number in re.findall(r"\]\((?:\S*methods\.md)?#([\d.]+)\)", page.read_text(encoding="utf-8"))
    }
    assert linked_sections and linked_sections <= sections


def test_files_named_in_contributing_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    named = {path for row in rows for path in re.findall(r"`((?:imjax|configs|docs)/[^`]*\.\w+)`", row)}
    assert len(rows) > 12 and named
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


def test_bibliography_entries_are_complete():
    entries = [entry for page in ("README.md", "citing.md") for entry in of(page, "bibtex")]
    for entry in "".join(block.text for block in entries).split("\n@"):
        assert re.match(r"@?\w+\{\w+,", entry) and entry.count("{") == entry.count("}")
        for field in ("title", "author", "year"):
            assert re.search(rf"^  {field} +=", entry, re.M), entry
        assert re.search(r"arXiv[^}]*\d{4}\.\d{5}|doi", entry), entry


@pytest.mark.parametrize(
    "block",
    [b for b in BASH if b.page not in (*WORKED, TUTORIAL.name)],
    ids=lambda block: block.name,
)
def test_commands_have_valid_flags_and_files(block, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    commands = Shell(linked(tmp_path / "tree"), dict(os.environ)).run(block)
    assert commands
    for program, *words in commands:
        if program == "bash":
            assert (ROOT / words[0]).is_file()
        elif program == "python":
            assert words[0] == "-m"
            checks(words[1], words[2:], monkeypatch)


def checks(module: str, words: list[str], monkeypatch) -> None:
    """Fail where a command would refuse its flags."""
    if module == "pytest":
        assert all((ROOT / word).exists() for word in words if word.startswith("tests"))
        return
    values, rest = parsed(module, words, monkeypatch)
    if module == "imjax.main":
        make_plan(check(freeze(values.config.to_dict())))
        assert values.plan or values.workdir
    elif module == "launch.sweep":
        named = [path for text in (*values["config"].value, *rest) for path in sweep._expand_pattern(text)]
        assert make_points(named, values["sweep"].value, values["set"].value, Path(values.root))
    elif module == "imjax.prepare":
        assert registry.spec(values.dataset)
    elif module == "benchmarks.result_tables":
        assert select_groups(rest, values["only"].value)
        return
    assert not rest or module in ("launch.sweep", "launch.smoke", "imjax.report", "imjax.convert")


def parsed(module: str, words: list[str], monkeypatch) -> tuple[flags.FlagValues, list[str]]:
    """The command's flags with their values, and the remaining words."""
    words = cli.train_arguments(words) if module == "imjax.main" else words
    values, argv = flags.FlagValues(), [module, *words]
    with monkeypatch.context() as patch:
        for kind in KINDS:
            define = functools.partial(getattr(flags, f"DEFINE_{kind}"), flag_values=values)
            patch.setattr(flags, f"DEFINE_{kind}", define)
        config = functools.partial(cli.define_config, flag_values=values, sys_argv=argv)
        patch.setattr(cli, "define_config", config)
        package = importlib.util.find_spec(module).submodule_search_locations
        importlib.import_module(f"{module}.__main__" if package else module).define_flags()
    return values, values(argv)[1:]


@pytest.mark.parametrize(
    ("module", "words", "error"),
    [
        ("imjax.main", ["--config=configs/nothing.py", "--workdir=x"], UserError),
        ("imjax.main", ["--config=configs/demo.py", "--config.nothing=1", "--plan"], AttributeError),
        ("imjax.main", ["--config=configs/demo.py", "--nothing"], flags.UnrecognizedFlagError),
        ("imjax.main", ["--config=configs/demo.py"], AssertionError),
        ("imjax.report", ["runs/*", "--nothing"], flags.UnrecognizedFlagError),
        ("imjax.predict", ["--workdir=x", "--nothing"], flags.UnrecognizedFlagError),
        ("pytest", ["tests/nothing.py"], AssertionError),
    ],
)
def test_wrong_commands_fail_the_check(module, words, error, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(error):
        checks(module, words, monkeypatch)


def test_tables_of_a_folder(tmp_path):
    classes, splits = of("own_data.md", "csv")
    complaints: list[UserError] = []
    (tmp_path / "classes.csv").write_text(classes.text)
    (tmp_path / "splits.csv").write_text(splits.text)
    table = tables.read_classes(tmp_path / "classes.csv", complaints.append)
    images = {Path(name).stem: Path(name) for name in ("a.png", "b.tif")}
    found = tables.read_splits(tmp_path / "splits.csv", images, complaints.append)
    assert not complaints and table.names == ("background", "cell", "debris")
    assert sorted(found.values()) == ["test", "val"]


def test_the_tutorial_has_its_images_and_valid_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    shell = Shell(linked(tmp_path / "tree"), dict(os.environ))
    drawing = importlib.util.spec_from_file_location("draw_nuclei", TUTORIAL.with_name("draw_nuclei.py"))
    draw_nuclei = importlib.util.module_from_spec(drawing)
    drawing.loader.exec_module(draw_nuclei)
    draw_nuclei.write_nuclei(shell.folder / "nuclei")
    modules = {name: command.module for name, command in cli.COMMANDS.items()}
    for block in of(TUTORIAL.name, "bash"):
        for program, name, *words in shell.run(block):
            if program == "python":
                assert (ROOT / name).is_file()
            else:
                words = cli.check_arguments(words) if name == "check" else words
                checks(modules[name], words, monkeypatch)
    # What check prints there, before the masks of step 6.
    masks = sorted((shell.folder / "nuclei" / "masks").iterdir())
    assert len(masks) == 18
    for path in masks[12:]:
        path.unlink()
    monkeypatch.chdir(shell.folder)
    data = Data(dataset="folder", dir="nuclei", height=128, width=128, label_fraction=1.0, val_fraction=0.2)
    said, problems = check_folder(data, Path("contact_sheet.png"), progress=lambda samples, _: samples)
    printed = next(
        block.text for block in of(TUTORIAL.name, "") if block.text.startswith("nuclei: 48 images")
    )
    assert not problems
    assert [line.split("; …")[0] in said for line in printed.splitlines()] == [True] * 12


def test_the_first_path_from_own_images_to_masks(tmp_path, quick_environment):
    shell = Shell(linked(tmp_path / "tree"), quick_environment, real=True, more=SMALLER)
    for block in of("own_data.md", "bash"):
        shell.run(block)
    runs, images = shell.folder / "runs", shell.folder / "my_data" / "images"
    assert (runs / "my_tiny" / "report.html").is_file() and (runs / "my_report.html").is_file()
    for name in ("demo", "suim_aim_pp-seed=0"):
        (runs / name).symlink_to(runs / "my_tiny")
    (shell.folder / "new_images").mkdir()
    for path in sorted(images.iterdir())[:3]:
        shutil.copy(path, shell.folder / "new_images")
    first, _, export = of("predict.md", "bash")
    shell.run(first)
    assert len(list((shell.folder / "predicted" / "overlay").iterdir())) == 3
    shell.run(export)
    np.save(shell.folder / "images.npy", np.zeros((2, 64, 64, 3), np.uint8))
    for block in (*of("predict.md", "python"), *of("results_csv.md", "python")):
        execute(block, shell.folder)
    assert np.load(shell.folder / "classes.npy").shape == (2, 64, 64)


SHRINK = """
config.train.update(epochs=1, steps_per_epoch=2)
config.generations = 1
config.data.synthetic.update(num_train=24, num_val=8, num_test=8)
"""
"""What SMALLER is to the commands."""


@pytest.mark.slow
def test_python_of_the_quick_start(tmp_path, quick_environment):
    writers.write_synthetic("folder", tmp_path / "my_data", {"train_val_test": 4}, size=(64, 64))
    (block,) = of("README.md", "python")
    text = block.text.replace("run = ", f"{SHRINK}\nrun = ")
    line = [sys.executable, "-c", text]
    # In a process of its own, which compiles quickly and may keep its programs.
    path = os.pathsep.join([quick_environment["PYTHONPATH"], str(ROOT)])
    environment = quick_environment | {"PYTHONPATH": path}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{block.name}: {done.stderr[-3000:]}"
    assert (tmp_path / "runs" / "quick" / "report.html").is_file()


def execute(block: Block, folder: Path) -> None:
    """Run a block of python in a folder."""
    with contextlib.chdir(folder):
        exec(compile(block.text, block.name, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize(("page", "more"), zip(WORKED, (SMALLER, "--plan"), strict=True))
def test_worked_examples_work(page, more, tmp_path, quick_environment):
    shell = Shell(copied(tmp_path), quick_environment, real=True, more=more)
    for block in of(page, "python", "diff", "bash"):
        shell.apply(block) if block.language != "bash" else shell.run(block)
    if page == WORKED[0]:
        assert "doubt" in (tmp_path / "runs" / "doubt" / "results.csv").read_text()
