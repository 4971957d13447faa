"""Gray levels that are brought to one range: by hand, packed, and what is said of a folder."""

import numpy as np
import pytest

from imjax.config.schema import Data, Synthetic
from imjax.data import intensity, pack
from imjax.data.synthetic import writers


def test_stretched_by_hand():
    # 201 values 20..60 in steps of 0.2: the 0.5th percentile is the second, 20.2, the 99.5th the last but
    # one, 59.8. Halfway, 40, becomes 127 or 128; a quarter of the way from 20.2 to 59.8, 30.1, becomes 64.
    values = 20 + 0.2 * np.arange(201)
    found = intensity.percentile_normalize(values.reshape(3, 67))
    assert found.shape == (3, 67) and found.dtype == np.uint8
    flat = found.ravel()
    assert flat[[0, 1, 199, 200]].tolist() == [0, 0, 255, 255] and flat[100] in (127, 128)
    # The 51st value is 30.2: 255·10/39.6 = 64.4.
    assert flat[51] == 64
    assert intensity.percentile_limits(values) == pytest.approx((20.2, 59.8))


def test_exposure_is_undone_and_channels_keep_their_differences():
    draw = np.random.default_rng(0)
    image = draw.integers(20, 120, (40, 40, 3)).astype(np.uint8)
    image[..., 2] //= 2
    once = intensity.percentile_normalize(image)
    assert (intensity.percentile_normalize(2 * image) == once).all() and (
        intensity.percentile_normalize(image + 7) == once
    ).all()
    assert once[..., 2].mean() < 0.6 * once[..., 0].mean()
    # What has been brought to the range stays there.
    assert (intensity.percentile_normalize(once) == once).all()


def test_an_image_of_one_value_is_black():
    assert not intensity.percentile_normalize(np.full((4, 4, 3), 200, np.uint8)).any()


def test_packed_images_are_those_and_labels_the_same(tmp_path):
    small = dict(height=32, width=32, synthetic=Synthetic(10, 2, 2))
    plain, other = (
        pack.load_packed(pack.prepare_dataset(Data("synthetic", **small, percentile_normalize=on), tmp_path))
        for on in (False, True)
    )
    assert plain.manifest["hash"] != other.manifest["hash"]
    for name in ("labeled", "test"):
        before, after = plain.splits[name], other.splits[name]
        assert (np.asarray(before.labels) == after.labels).all()
        for one, two in zip(before.images, after.images, strict=True):
            assert (intensity.percentile_normalize(one) == two).all()
        assert (np.asarray(before.images) != after.images).any()


def test_slices_are_stretched_one_by_one_and_volumes_as_a_whole(tmp_path):
    # A labeled slice is a file of its own, a test volume a stack: nets must see both alike.
    raw = tmp_path / "acdc"
    writers.write_synthetic("acdc", raw, {"train": 3, "val": 1, "test": 1}, size=(48, 48))
    packed = pack.load_packed(
        pack.prepare_dataset(
            Data("acdc", str(raw), height=48, width=48, label_fraction=0.5, percentile_normalize=True),
            tmp_path / "c",
        )
    )
    for split in packed.splits.values():
        whites = np.asarray(split.images).reshape(len(split.images), -1).max(1)
        assert (whites == 255).all()


def test_unlike_brightness_is_remarked_and_only_then():
    # Two of eleven images end at 100 and the rest at 200: percentiles 10 and 90 are places 1 and 9.
    (line,) = intensity.brightness_warnings([100.0, 100.0, *[200.0] * 9])
    assert (
        "about 100 in the darkest" in line
        and "200 in the brightest" in line
        and "--percentile_normalize" in line
    )
    assert not intensity.brightness_warnings(
        [151.0, 151.0, *[200.0] * 9]
    ) and not intensity.brightness_warnings([])
