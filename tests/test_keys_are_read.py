"""Every configuration key has a reader, key by key: mypy says of what type each attribute is read.

It gets the schema with all keys renamed, and so complains of every place that reads one, with the class whose
key it is. Readers of another group's key of the same name do not count. So with the fields of stages.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imjax.config import joint_schema, schema
from imjax.pipeline import stages

ROOT = Path(__file__).parents[1]
SCHEMAS = (schema, joint_schema)
NEVER_READ = "name"
"""No key of any group, and read of other types all over."""


def classes_of(*modules) -> dict[str, ast.ClassDef]:
    """Classes of the modules by name."""
    trees = [ast.parse(Path(module.__file__).read_text()) for module in modules]
    return {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}


NODES = classes_of(*SCHEMAS, stages)
GROUPS = {name: getattr(schema, name, None) or getattr(joint_schema, name) for name in classes_of(*SCHEMAS)}
STAGES = {name: getattr(stages, name) for name in classes_of(stages)}


def is_value(node: ast.stmt) -> bool:
    """Whether it declares a key or a field of a stage; but not a group, whose type must stay known."""
    if not isinstance(node, ast.AnnAssign):
        return False
    return not GROUPS.keys() & set(re.findall(r"\w+", ast.unparse(node.annotation)))


def hide(module, path: Path) -> None:
    """Write the module with other names for all values and properties."""
    tree = ast.parse(Path(module.__file__).read_text())
    for group in tree.body:
        if isinstance(group, ast.ClassDef):
            for node in group.body:
                if is_value(node):
                    node.target.id = f"hidden_{node.target.id}"
                elif isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
                    node.name = f"hidden_{node.name}"
    path.write_text(ast.unparse(tree))


@pytest.fixture(scope="module")
def reads(tmp_path_factory) -> set[tuple[str, str]]:
    """Class and attribute of everything that is read outside of `imjax.config`."""
    hidden = tmp_path_factory.mktemp("hidden")
    # A cache of its own: the usual one stays that of the real schema.
    command = [sys.executable, "-m", "mypy", f"--cache-dir={ROOT / '.mypy_cache' / 'hidden_keys'}"]
    for module in (*SCHEMAS, stages):
        hide(module, path := hidden / Path(module.__file__).name)
        command += ["--shadow-file", module.__file__, str(path)]
    run = subprocess.run([*command, "--no-pretty"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1, run.stdout + run.stderr
    found = re.findall(r'^(.*?):\d+: error: "(\w+)" has no attribute "(\w+)"', run.stdout, re.MULTILINE)
    return {(group, name) for path, group, name in found if Path(path).parts[1] != "config"}


def values_of(cls: type) -> set[str]:
    """Names of the keys (fields) of a class, inherited ones included."""
    bodies = [NODES[base.__name__].body for base in cls.__mro__ if base.__name__ in NODES]
    return {node.target.id for body in bodies for node in body if is_value(node)}


def unread(cls: type, names: set[str], reads: set[tuple[str, str]]) -> set[str]:
    """Those of the names that are read neither of the class, or one it comes from, nor in its methods."""
    bases = [base.__name__ for base in cls.__mro__ if base.__name__ in NODES]
    nodes = [node for name in bases for node in NODES[name].body]
    methods = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}
    found = {name for group, name in reads if group in bases}
    done: set[str] = set()
    while todo := (found & methods.keys()) - done:
        done |= todo
        inside = [node for name in todo for node in ast.walk(methods[name])]
        attributes = [node for node in inside if isinstance(node, ast.Attribute)]
        found |= {node.attr for node in attributes if ast.unparse(node.value) == "self"}
    return names - found


@pytest.mark.parametrize("cls", [*GROUPS.values(), *STAGES.values()], ids=lambda cls: cls.__name__)
def test_every_key_is_read(cls, reads):
    assert not unread(cls, values_of(cls), reads)


@pytest.mark.parametrize("cls", GROUPS.values(), ids=lambda cls: cls.__name__)
def test_a_key_without_a_reader_is_found(cls, reads):
    """Also one whose name is read of other types all over, and any key once its readers are gone."""
    assert unread(cls, {NEVER_READ}, reads) == {NEVER_READ}
    bases = {base.__name__ for base in cls.__mro__}
    without = {(group, name) for group, name in reads if group not in bases}
    assert unread(cls, values_of(cls), without) == values_of(cls)
