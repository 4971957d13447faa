"""Names of files, classes and folders are text in the report, whatever is in them; nothing is unpickled."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from made_runs import SPEC
from pages import page

from imjax.report import load

ROOT = Path(__file__).parents[2]
HOSTILE = "<script>alert('x')</script>&\"$\\frac{$.png"


def test_names_are_text(tmp_path, make_run):
    spec = SPEC | {"name": "folder_x", "title": HOSTILE, "classes": ["inconsistent", HOSTILE, "b$"]}
    scores = {("ldt", None): [0.4, 0.3], ("im_pp", 0): [0.5, 0.4]}
    folder = make_run(tmp_path / "<script>run", scores, spec=spec, generations=1)
    for path in folder.glob("stages/*/panels.npz"):
        with np.load(path) as file:
            panels = {name: file[name] for name in file.files}
        np.savez_compressed(path, **panels, **{HOSTILE: panels["image"]})
    results = folder / "results.csv"
    results.write_text(results.read_text().replace("diver", '"' + HOSTILE.replace('"', '""') + '"'))
    record = json.loads((folder / "config.json").read_text())
    record["command"].append(f"--config.data.dir={HOSTILE}")
    record["config"]["data"]["dir"] = HOSTILE
    (folder / "config.json").write_text(json.dumps(record))
    text, parsed = page([folder], tmp_path / "report.html")
    assert "<script>alert" not in text and "<script>run" not in text
    assert "&lt;script&gt;alert" in text
    assert not any(address.startswith("javascript:") for address in parsed.addresses)


def test_a_pickle_among_a_run_s_files_is_not_opened(tmp_path):
    opened = tmp_path / "opened"

    class Trap:
        def __reduce__(self):
            return Path.touch, (opened,)

    np.savez(tmp_path / "panels.npz", image=np.array([Trap()], object))
    assert load.StageRecord("label_g0", {}, {}, tmp_path).load_panels() == {}
    assert not opened.exists()
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(tmp_path / "panels.npz")["image"]


def test_nothing_is_unpickled():
    loaders = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    found = set()
    for path in (ROOT / "imjax").rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import) and loaders & {a.name.split(".")[0] for a in node.names}:
                found.add(name)
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in loaders:
                found.add(name)
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, name
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), name
    # Weights from PyTorch, by an unpickler that knows three names (tests/models/test_torch_file.py).
    assert found == {"imjax/models/torch_file.py"}
