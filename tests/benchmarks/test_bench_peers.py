"""The peers do what ours does: same numbers of parameters, same blocking, augmentation in the same ranges."""

import importlib.util

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import data, peers_serial
from imjax.ops import inconsistency

ALPHA_1 = 680_313
"""See tests/models/test_unet.py for how this comes about."""
WITH_LITE0 = 2_958_848 + 2_239_603 + 6 * 145
"""Encoder, decoder and the head's six outputs more than in tests/models/test_encoder_unet.py."""
INSTALL = "pip install -r benchmarks/requirements.txt"


@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason=f"PyTorch is not installed: {INSTALL}")
@pytest.mark.filterwarnings("ignore")
def test_parameters_of_pytorch():
    from benchmarks import peers_torch

    assert peers_torch.parameters(peers_torch.UNet(data.OUTPUTS)) == ALPHA_1


@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason=f"PyTorch is not installed: {INSTALL}")
@pytest.mark.filterwarnings("ignore")
def test_parameters_of_pytorch_with_an_encoder():
    from benchmarks import peers_torch, peers_torch_encoder

    assert peers_torch.parameters(peers_torch_encoder.UNet(data.OUTPUTS)) == WITH_LITE0


@pytest.mark.skipif(not importlib.util.find_spec("keras"), reason=f"Keras is not installed: {INSTALL}")
@pytest.mark.filterwarnings("ignore")
def test_parameters_of_keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    from benchmarks import peers_keras

    assert peers_keras.parameters(peers_keras.unet(32, data.OUTPUTS)) == ALPHA_1


@pytest.mark.parametrize(("erode", "dilate"), [(0, 0), (3, 0), (3, 5)])
def test_the_serial_pipeline_blocks_as_ours(erode, dilate):
    draw = np.random.default_rng(0)
    image = draw.integers(1, 256, (32, 32, 3), np.uint8)
    first = draw.integers(1, data.OUTPUTS, (32, 32), np.uint8)
    second = first.copy()
    second[4:14, 6:17] = 0
    second[20, 20] = 0
    blocked, label = peers_serial.block(image, [first, second], erode, dilate)
    pair = inconsistency.make_pseudo_label(
        "multiclass", jnp.stack([first, second]), classes=9, erode=erode, dilate=dilate
    )
    want, _ = inconsistency.block(jnp.asarray(image), pair.label, pair.inconsistent)
    np.testing.assert_array_equal(blocked, want)
    assert (label[np.asarray(pair.inconsistent)] == 0).all() and blocked.any()


def test_serial_augmentation_moves_image_and_label_alike():
    # Classes 16 gray levels apart, changed by less than 8: the label can be read off the image.
    label = np.random.default_rng(1).integers(0, 9, (16, 16), np.uint8)
    image = np.repeat(16 * label[..., None] + 40, 3, -1).astype(np.uint8)
    draw = np.random.default_rng(0)
    seen = set()
    for _ in range(64):
        changed, moved = peers_serial.augment(draw, image, label, (0, 5, 0.0, 2.0))
        np.testing.assert_array_equal(np.rint((changed[..., 0] - 40.0) / 16), moved)
        seen.add(moved.tobytes())
    # Flips and turns of a square: eight places, each reached by some draws.
    assert len(seen) == 8


def test_files_keep_pairs(tmp_path):
    images, labels = data.scenes(2, 32)
    pairs = peers_serial.Pairs(2, 32, files=True)
    np.testing.assert_array_equal(pairs.image(1), images[1])
    np.testing.assert_array_equal(pairs.label(1), labels[1])
