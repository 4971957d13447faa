"""The exported file runs without imjax, as docs/how-to/predict.md shows it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from handmade import SPECS, make_run
from handmade import net as handmade_net
from user_errors import raises_user_error

from imjax.errors import ErrorCode
from imjax.inference import export
from imjax.inference.load_run import load_model
from imjax.models.convolution import BY_PLATFORM

ROOT = Path(__file__).parents[2]


def test_the_example_of_the_docs(tmp_path):
    spec, size = SPECS["reserved"], (8, 16)
    stage = load_model(make_run(tmp_path / "run", spec, ("train_g0",), size))
    images = np.random.default_rng(0).integers(0, 256, (5, *size, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    stage.export(tmp_path / "net.stablehlo", 2)
    facts = json.loads((tmp_path / "net.json").read_text())
    assert (facts["format"], facts["nets"], facts["decision"], facts["fit"]) == (
        "stablehlo", 2, "argmax", "resize",
    )  # fmt: skip
    assert [c["name"] for c in facts["classes"]] == ["sky", "sea, deep", "sand"]
    assert facts["input"]["channels"] == ["red", "green", "blue"]
    example = re.search(
        r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "predict.md").read_text(), re.DOTALL
    )[1]
    assert len(example.splitlines()) <= 15
    example += "import sys\nassert not any(name.startswith('imjax') for name in sys.modules)\n"
    # -I: neither the folder nor PYTHONPATH is searched; and an installed imjax would be in sys.modules.
    done = subprocess.run(
        [sys.executable, "-I", "-c", example], cwd=tmp_path, env=dict(os.environ, JAX_PLATFORMS="cpu"),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # The reserved class is left out: values are the dataset's own classes.
    predictions = stage.predict_batch(images, nets=2)
    wanted = np.stack([prediction.probabilities for prediction in predictions]).argmax(-1)
    found = np.load(tmp_path / "classes.npy")
    assert found.shape == (5, *size) and (found == wanted).mean() > 0.99


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_every_platform_has_its_kernels(tmp_path, monkeypatch, backend):
    """A net exported where a GPU is must be as fast on a CPU, and the other way round."""
    monkeypatch.setattr(export, "PLATFORMS", ("cpu", "cuda"))
    model = load_model(make_run(tmp_path / "run", SPECS["binary"], ("train_g0",), (8, 16)))
    with monkeypatch.context() as patch:
        patch.setattr(jax, "default_backend", lambda: backend)
        model.export(tmp_path / "net.stablehlo", 2)
    exported = jax.export.deserialize(bytearray((tmp_path / "net.stablehlo").read_bytes()))
    text = exported.mlir_module()
    # Two nets of three stages with two convolutions each, and a head. Products: these, and an `Up` per net.
    # In a program for several platforms, JAX writes each of them once for the CPU and once for GPUs.
    assert text.count("stablehlo.convolution") == 2 * 2 * (2 * 3 + 1)
    assert text.count("stablehlo.dot_general") == 2 * (2 * (3 * 2 + 2))
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 16, 1), np.uint8)
    expected = np.stack([p.probabilities for p in model.predict_batch(images, nets=2)])
    np.testing.assert_allclose(exported.call(images), expected, atol=1e-5)
    # What the compiler gets for the CPU has no conditional, and no columns of a product.
    compiled = jax.jit(exported.call).lower(images).compile().as_text()
    assert "conditional" not in compiled and compiled.count(" convolution(") == 2 * (2 * 3 + 1)


def test_a_program_for_one_platform_has_one_kernel():
    net, image = handmade_net(1), np.zeros((1, 8, 16, 1), np.uint8)
    variables = jax.eval_shape(net.init, jax.random.key(0), image)
    program = str(jax.make_jaxpr(net.apply)(variables, image))
    assert "platform_index" not in program and "platform_index" in str(
        jax.make_jaxpr(net.clone(convolution=BY_PLATFORM).apply)(variables, image)
    )


def test_no_place_for_it(tmp_path):
    stage = load_model(make_run(tmp_path / "run", SPECS["binary"], ("train_g0",), nets=1))
    (tmp_path / "file").write_text("")
    with raises_user_error(ErrorCode.UNWRITABLE, "file/net.stablehlo"):
        stage.export(tmp_path / "file" / "net.stablehlo")


def test_a_suffix_of_no_format(tmp_path):
    stage = load_model(make_run(tmp_path / "run", SPECS["binary"], ("train_g0",), nets=1))
    with raises_user_error(ErrorCode.UNKNOWN, "net.pt"):
        stage.export(tmp_path / "net.pt")


@pytest.mark.parametrize("suffix, package", [(".onnx", "onnxruntime"), (".zip", "bioimageio")])
def test_a_package_that_is_not_installed(tmp_path, monkeypatch, suffix, package):
    stage = load_model(make_run(tmp_path / "run", SPECS["binary"], ("train_g0",), nets=1))
    monkeypatch.setitem(sys.modules, package, None)
    with raises_user_error(ErrorCode.MISSING, package):
        stage.export((tmp_path / "net").with_suffix(suffix))
    assert not list(tmp_path.glob("net*"))
