"""Each layer imports only to its left (design: layering)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = {"errors", "log"}
RANK = {
    "ops": 0, "cells": 0, "losses": 0, "metrics": 0, "models": 0, "rng": 0, "data": 0, "config": 0,
    "config_joint": 0, "rules": 0, "surfaces": 0, "methods": 1, "engine": 2,
    "selftrain": 3, "report": 4, "prepare": 4, "predict": 4, "main": 5, "door": 4,
}  # fmt: skip
FILES = sorted((ROOT / "imjax").rglob("*.py"))


def imported(path):
    """Names of modules that a file imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "imjax":
                yield from (f"imjax.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_to_the_left(path):
    parts = path.relative_to(ROOT / "imjax").with_suffix("").parts
    if parts[0] in SHARED | {"__init__"}:
        return
    for name in imported(path):
        assert not name.startswith("configs"), f"{path} imports {name}"
        layers = name.split(".")
        if layers[0] != "imjax" or len(layers) == 1 or layers[1] in SHARED | {"__version__"}:
            continue
        assert layers[1] in RANK, f"{path}: {name} is in no layer"
        assert RANK[layers[1]] <= RANK[parts[0]], f"{path} imports {name}, to its right"


def test_only_members_knows_vmap_over_members_and_pmap():
    users = [p for p in FILES if "jax.pmap" in p.read_text(encoding="utf-8")]
    assert [p.name for p in users] == ["members.py"]


def test_absl_flags_only_in_doors():
    users = {p.relative_to(ROOT / "imjax").as_posix() for p in FILES if "flags" in set(_absl(p))}
    assert users == {"door.py", "main.py", "prepare.py", "predict.py", "report/__main__.py"}


def _absl(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "absl":
            yield from (alias.name for alias in node.names)
