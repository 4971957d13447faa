"""Every module imports only from its own layer and those to its left (docs/explanation/architecture.md)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    # Used everywhere, import nothing of imjax but each other.
    (
        "imjax.errors",
        "imjax.log",
        "imjax.rng",
        "imjax.json_io",
        "imjax.processes",
        "imjax.user_paths",
        "imjax.data.spec",
    ),
    ("imjax.config",),
    ("imjax.ops", "imjax.losses"),
    ("imjax.evaluation", "imjax.models"),
    ("imjax.data",),
    ("imjax.methods",),
    ("imjax.training",),
    ("imjax.inference",),
    ("imjax.pipeline",),
    ("imjax.report",),
    ("imjax.api",),
    ("imjax.app",),
    (
        "imjax.cli",
        "imjax.main",
        "imjax.prepare",
        "imjax.predict",
        "imjax.convert",
        "imjax.suggest_images",
        "imjax.report.__main__",
        "imjax.app.__main__",
    ),
    ("imjax",),
)
RANKS = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
FILES = sorted((ROOT / "imjax").rglob("*.py"))


def module_name(path):
    """`imjax/data/spec.py` → `imjax.data.spec`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def rank_of(module):
    """Rank of the layer whose name is the longest prefix of the module's."""
    parts = module.split(".")
    prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next(RANKS[prefix] for prefix in prefixes if prefix in RANKS)


MODULES = {module_name(path) for path in FILES}


def imported(path):
    """Modules of imjax that a file imports, at any depth and inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (
                alias.name for alias in node.names if alias.name.split(".")[0] in ("imjax", "configs")
            )
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.split(".")[0] not in ("imjax", "configs"):
                continue
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from (names & MODULES) or {node.module}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_to_the_left(path):
    module = module_name(path)
    for name in imported(path):
        assert name.startswith("imjax"), f"{path} imports {name}"
        # The version is in the package's __init__, which imports nothing at load time.
        if name != "imjax":
            assert rank_of(name) <= rank_of(module), f"{module} imports {name}, to its right"


def test_every_module_but_the_package_has_a_layer_of_its_own():
    assert {module for module in MODULES if rank_of(module) == RANKS["imjax"]} == {"imjax"}


def test_pmap_is_used_in_one_module_only():
    users = [p for p in FILES if "jax.pmap" in p.read_text(encoding="utf-8")]
    assert [p.name for p in users] == ["ensemble_parallel.py"]


def test_absl_flags_only_in_commands():
    users = {p.relative_to(ROOT / "imjax").as_posix() for p in FILES if "flags" in set(_absl(p))}
    assert users == {
        "cli.py",
        "main.py",
        "prepare.py",
        "predict.py",
        "convert.py",
        "suggest_images.py",
        "report/__main__.py",
        "app/__main__.py",
    }


def _absl(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "absl":
            yield from (alias.name for alias in node.names)
