"""ONNX and packages of the BioImage Model Zoo give what JAX gives. Needs the extras onnx and bioimageio."""

import json
import os
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from documents import of
from handmade import SPECS, make_run
from PIL import Image

from imjax.config.schema import Data, Model
from imjax.data.spec import DatasetSpec
from imjax.inference import export, export_onnx
from imjax.inference.load_run import load_model
from imjax.models.factory import create_backbone

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("jax2onnx")
pytestmark = pytest.mark.filterwarnings("default")

SIZE = (32, 48)


def ensemble(backbone: str, spec: DatasetSpec, nets: int, **data) -> export.Ensemble:
    """Nets with drawn weights that keep the size of the features, as training starts from."""
    model = Model(backbone=backbone, width=0.5, dtype="float32", convolution="direct")
    net = create_backbone(model, spec)
    image = jax.ShapeDtypeStruct((1, *SIZE, spec.channels), np.uint8)
    shapes = jax.eval_shape(net.init, jax.random.key(0), image)
    draw = np.random.default_rng(0)

    def fill(path, leaf):
        if path[-1].key == "kernel":
            fan_in = np.prod(leaf.shape[:-1])
            return draw.normal(0, np.sqrt(2 / fan_in), leaf.shape).astype(np.float32)
        low, high = (0.8, 1.2) if path[-1].key in ("var", "scale") else (-0.05, 0.05)
        return draw.uniform(low, high, leaf.shape).astype(np.float32)

    members = tuple(jax.tree_util.tree_map_with_path(fill, shapes) for _ in range(nets))
    return export.Ensemble("train_g0", net, members, spec, Data(height=SIZE[0], width=SIZE[1], **data))


@pytest.mark.parametrize(
    "backbone, kind, nets, grouped",
    [
        ("unet_residual", "reserved", 2, 0),
        ("unet_dropout", "binary", 1, 0),
        ("efficientnet_lite0", "multilabel", 1, 16),
    ],
)
def test_onnx_gives_what_jax_gives(tmp_path, backbone, kind, nets, grouped):
    exported = ensemble(backbone, SPECS[kind], nets)
    export.write(tmp_path / "net.onnx", exported)
    data = (tmp_path / "net.onnx").read_bytes()
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model)
    groups = [a.i for node in model.graph.node for a in node.attribute if a.name == "group"]
    # Depthwise convolutions are what they are, and not sums of shifted products.
    assert sum(group > 1 for group in groups) == grouped
    images = np.random.default_rng(0).integers(0, 256, (3, *exported.shape), np.uint8)
    expected = np.asarray(jax.jit(exported.probabilities)(jnp.asarray(images)))
    classes = len(SPECS[kind].classes) - int(SPECS[kind].reserved)
    assert expected.shape == (3, *SIZE, classes) and expected.std() > 1e-3
    for batch in (1, 3):
        found = export_onnx.run(data, images[:batch])
        np.testing.assert_allclose(found, expected[:batch], atol=1e-4)


def test_the_example_of_the_docs(tmp_path):
    spec, size = SPECS["reserved"], (16, 32)
    stage = load_model(make_run(tmp_path / "run", spec, ("train_g0",), size))
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    stage.export(tmp_path / "net.onnx", 2)
    (block,) = of("export.md", "python")
    lines = [line for line in block.text.splitlines() if line.strip()]
    assert len(lines) <= 10
    text = "\n".join([*lines, "import sys", "assert not any(m in sys.modules for m in ('imjax', 'jax'))"])
    done = subprocess.run(
        [sys.executable, "-I", "-c", text], cwd=tmp_path, env=dict(os.environ), capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = np.asarray(Image.open(tmp_path / "mask.png"))
    assert (found == stage.predict(image, nets=2).mask).mean() > 0.99


@pytest.mark.parametrize("stretch", [False, True])
def test_the_zoo_s_own_test_of_a_package(tmp_path, stretch):
    core = pytest.importorskip("bioimageio.core")
    limits = {} if stretch else {"value_limits": ((100.0, 4000.0),), "channel_names": ("DAPI",)}
    fields = {"kind": "binary", "classes": ("cell",), "palette": ((255, 0, 0),), "channels": 1}
    spec = DatasetSpec("toy", "Toy: cells/2026", **fields, **limits)
    export.write(tmp_path / "net.zip", ensemble("unet_dropout", spec, 1, percentile_normalize=stretch))
    summary = core.test_model(tmp_path / "net.zip")
    assert summary.status == "passed", summary.format()
    facts = json.loads((tmp_path / "net.json").read_text())
    assert facts["input"]["axes"] == "bcyx" and facts["threshold"] == 0.5
    assert (facts["stretch_percentiles"] is not None) == stretch
    with zipfile.ZipFile(tmp_path / "net.zip") as file:
        assert json.loads(file.read("imjax.json")) == facts
