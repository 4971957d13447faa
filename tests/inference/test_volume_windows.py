"""Windows cover a volume, and what they say is averaged."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.inference import volume_windows
from imjax.ops import ensemble
from imjax.training.ensemble_parallel import Members


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
    found = volume_windows.places((4, 6, 5), (2, 6, 4), 0.5)
    corners = [tuple(part.start for part in place) for place in found]
    assert corners == [(z, 0, x) for z in (0, 1, 2) for x in (0, 1)]
    assert all(tuple(p.stop - p.start for p in place) == (2, 6, 4) for place in found)


MEMBERS = Members(2, 1, jax.devices()[:1])


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
    images = np.random.default_rng(0).integers(1, 256, (2, 4, 5, 6, 1), np.uint8)
    images[:, 0, 0, 0] = 0
    biases = np.array([-0.2, 0.1], np.float32)
    where = volume_windows.places((4, 5, 6), (3, 3, 4), 0.5)
    seen = []

    def harden(probabilities):
        seen.append(np.asarray(probabilities)[..., 1])
        return ensemble.probabilities_to_label("multiclass", jnp.asarray(probabilities))

    found = volume_windows.labels(
        MEMBERS, MEMBERS.map(says), MEMBERS.shard(biases), images, where, batch, harden
    )
    assert found.shape == (2, 2, 4, 5, 6) and found.dtype == np.uint8
    wanted = np.stack([[twin(volume, bias, where) for bias in biases] for volume in images])
    np.testing.assert_allclose(np.reshape(seen, wanted.shape), wanted, atol=1e-6)
    # Gray levels make exact halves, which fall either way.
    clear = abs(wanted - 0.5) > 1e-5
    np.testing.assert_array_equal(np.swapaxes(found, 0, 1)[clear], (wanted > 0.5)[clear])


def test_multilabel_volumes_keep_their_channels():
    where = volume_windows.places((2, 4, 4), (2, 2, 2), 0.0)
    program = MEMBERS.map(lambda v, batch: batch["image"].astype(jnp.float32) / 255 + v)
    images = np.random.default_rng(0).integers(0, 256, (1, 2, 4, 4, 3), np.uint8)
    harden = functools.partial(ensemble.probabilities_to_label, "multilabel")
    found = volume_windows.labels(
        MEMBERS, program, MEMBERS.shard(np.zeros(2, np.float32)), images, where, 3,
        lambda said: harden(jnp.asarray(said)),
    )  # fmt: skip
    np.testing.assert_array_equal(found, np.stack([images >= 128] * 2))
