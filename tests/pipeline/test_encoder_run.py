"""A run on an encoder from ImageNet through the command: trained, loaded, predicted with, exported."""

import jax
import numpy as np

import imjax
from imjax.models.imagenet import load_encoder
from imjax.training.checkpoints import load_nets


def test_a_run_from_imagenet(quick_command, tiny, tmp_path):
    flags = (
        "method=ldt", "baselines=()", "num_baseline_nets=2", "data.height=32", "data.width=48",
        "model.backbone=efficientnet_lite0", "model.weights=imagenet", "model.width=0.25",
        # Compiled in a moment.
        "model.convolution=direct",
        "train.epochs=1", "train.steps_per_epoch=1", "train.batch_size=4", "train.encoder_lr_scale=1e-9",
    )  # fmt: skip
    workdir = tmp_path / "run"
    code, _, err = quick_command(
        "configs/demo.py:tiny", workdir, *tiny, *(f"--config.{flag}" for flag in flags)
    )
    assert code == 0, err
    params = load_nets(workdir / "stages" / "00_train_ldt" / "nets")["params"]
    published = load_encoder("efficientnet_lite0", 3)["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params["backbone"]):
        wanted = published
        for part in path:
            wanted = wanted[part.key]
        # Both nets are where they started, since a step of the encoder is next to nothing.
        np.testing.assert_allclose(leaf, np.broadcast_to(wanted, leaf.shape), rtol=1e-5, atol=1e-6)
    heads = params["UNetDecoder_0"]["head"]["kernel"]
    assert not np.allclose(heads[0], heads[1])
    model = imjax.load(workdir)
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    prediction = model.predict(image)
    model.export(tmp_path / "net.stablehlo")
    exported = jax.export.deserialize(bytearray((tmp_path / "net.stablehlo").read_bytes()))
    found = np.asarray(jax.jit(exported.call)(image[None]))[0]
    np.testing.assert_allclose(found, prediction.probabilities, atol=1e-3)
