"""Windows cover a volume, and what they say is averaged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from user_errors import raises_user_error

from imjax.config.schema import Data, Model
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode
from imjax.inference import volume_windows
from imjax.inference.trained_model import TrainedModel
from imjax.models.factory import create_backbone
from imjax.training.runtime import Runtime


@pytest.mark.parametrize(
    ("length", "side", "overlap", "found"),
    [
        # Half a window on: 0 2 4, and 6 ends with the axis.
        (10, 4, 0.5, [0, 2, 4, 6]),
        # The last is closer to the one before.
        (9, 4, 0.5, [0, 2, 4, 5]),
        (9, 4, 0.0, [0, 4, 5]),
        (4, 4, 0.5, [0]),
        # The benchmark's patch in our box: 80 of 96, 112 of 208.
        (96, 80, 0.5, [0, 16]),
        (208, 112, 0.5, [0, 56, 96]),
        # Never less than a voxel on: 3 · 0.1 rounds to 0.
        (5, 3, 0.9, [0, 1, 2]),
    ],
)
def test_starts_by_hand(length, side, overlap, found):
    assert volume_windows.window_starts(length, side, overlap) == found


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.9])
def test_windows_cover_every_axis_and_end_with_it(overlap):
    for length in range(1, 30):
        for side in range(1, length + 1):
            starts = volume_windows.window_starts(length, side, overlap)
            covered = {i for start in starts for i in range(start, start + side)}
            assert covered == set(range(length)) and starts == sorted(set(starts))


def test_a_window_larger_than_the_axis():
    with pytest.raises(ValueError, match="windows of 5 on an axis of 4"):
        volume_windows.window_starts(4, 5, 0.5)


def test_places_are_all_corners():
    found = volume_windows.window_places((4, 6, 5), (2, 6, 4), 0.5)
    corners = [tuple(part.start for part in place) for place in found]
    assert corners == [(z, 0, x) for z in (0, 1, 2) for x in (0, 1)]
    assert all(tuple(p.stop - p.start for p in place) == (2, 6, 4) for place in found)


def says(bias, batch):
    """Class 1 as likely as the voxel is bright, and for other windows than the volume's first less so."""
    bright = batch["image"].astype(jnp.float32)[..., 0] / 255
    first = batch["image"][:, 0, 0, 0, 0] == 0
    one = jnp.where(first[:, None, None, None], bright, bright + bias)
    return jnp.stack([1 - one, one], -1)


def twin(volume, bias, where):
    """Mean over the windows of each voxel, by loops."""
    out = np.zeros(volume.shape[:3])
    for z, y, x in np.ndindex(*out.shape):
        said = []
        for place in where:
            if all(p.start <= i < p.stop for p, i in zip(place, (z, y, x), strict=True)):
                first = volume[tuple(p.start for p in place)][0] == 0
                said.append(volume[z, y, x, 0] / 255 + (0 if first else bias))
        out[z, y, x] = np.mean(said)
    return out


@pytest.mark.parametrize("batch", [4, 18])
def test_probabilities_are_averaged_where_windows_overlap(batch):
    volume = np.random.default_rng(0).integers(1, 256, (4, 5, 6, 1), np.uint8)
    volume[0, 0, 0] = 0
    biases = np.array([-0.2, 0.1], np.float32)
    places = volume_windows.window_places((4, 5, 6), (3, 3, 4), 0.5)
    windows = Runtime(batch).stream(says, biases, (volume[place] for place in places), (3, 3, 4, 1))
    found = volume_windows.stitch((4, 5, 6), places, windows)
    assert found.shape == (2, 4, 5, 6, 2) and found.dtype == np.float32
    wanted = np.stack([twin(volume, bias, places) for bias in biases])
    np.testing.assert_allclose(found[..., 1], wanted, atol=1e-6)


SPEC = DatasetSpec("toy", "Toy", "binary", ("organ",), ((255, 0, 0),), channels=1, dims=3)
MODEL = Model(backbone="unet_dropout", features=(4, 8), dropouts=(0.0, 0.0), dtype="float32")


@pytest.fixture(scope="module")
def model():
    """Three tiny nets of volumes with weights as drawn; patches of half a box."""
    net = create_backbone(MODEL, SPEC)
    image = jnp.zeros((1, 16, 16, 16, 1), jnp.uint8)
    drawn = [net.init(jax.random.key(i), image) for i in range(3)]
    weights = jax.tree.map(lambda *leaves: np.stack(leaves), *drawn)
    inputs = Data(height=16, width=16, depth=16)
    return TrainedModel(
        "train_cps", SPEC, MODEL, 0, weights, (2, 0, 1), Runtime(4), inputs=inputs,
        patch=(16, 8, 16), patch_overlap=0.5,
    )  # fmt: skip


def volume_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_packed_volumes_and_new_ones_get_the_same_labels(model):
    volumes = np.stack([volume_of(16, 16, 16, 1, seed=seed) for seed in range(2)])
    labels = model.predict_labels(volumes)
    assert labels.shape == (3, 2, 16, 16, 16) and labels.dtype == np.uint8
    for volume, best in zip(volumes, labels[0], strict=True):
        prediction = model.predict(volume[..., 0], nets=1)
        np.testing.assert_array_equal(prediction.mask, best)
        # The second net stands beside the first, to disagree with it.
        assert prediction.inconsistency.shape == (16, 16, 16)
    disagreement = labels[0] != labels[1]
    np.testing.assert_array_equal(model.predict(volumes[0], nets=1).inconsistency, disagreement[0])
    both = model.predict_ensemble_labels(volumes, 3)
    np.testing.assert_array_equal(both[0, 0], model.predict(volumes[0], nets=3).mask)
    # All three, as there are no four.
    np.testing.assert_array_equal(both[0, 0], model.predict(volumes[0]).mask)


@pytest.mark.parametrize("shape", [(5, 9, 16), (20, 16, 33)])
def test_volumes_of_other_sizes(shape, model):
    (prediction,) = model.predict_batch([volume_of(*shape)], nets=2)
    assert prediction.mask.shape == shape and prediction.probabilities.shape == (*shape, 1)
    np.testing.assert_array_equal(prediction.mask, prediction.probabilities[..., 0] > 0.5)
    objects = prediction.objects()
    assert sum(each.area for each in objects) == prediction.mask.sum()
    assert all(len(each.centroid) == 3 and len(each.bbox) == 6 for each in objects)


@pytest.mark.parametrize(
    ("volume", "arguments", "code", "field"),
    [
        (np.zeros((4, 4), np.uint8), {}, ErrorCode.WRONG_TYPE, "image"),
        (np.zeros((4, 4, 4), np.float32), {}, ErrorCode.WRONG_TYPE, "image"),
        ("scan.nrrd", {}, ErrorCode.WRONG_TYPE, "image"),
        (np.zeros((4, 4, 4), np.uint8), {"flips": True}, ErrorCode.UNSUPPORTED, "flips"),
    ],
)
def test_other_volumes_are_refused(volume, arguments, code, field, model):
    with raises_user_error(code, field):
        model.predict(volume, **arguments)
