"""Sizes of things at the packed size: by hand."""

import numpy as np
import pytest

from imjax.config.schema import Data
from imjax.data.folder import object_sizes
from imjax.data.folder.reader import SPEC
from imjax.data.spec import VOID, DatasetSpec


def mask():
    """64×128: a thing of 4×4, one of 2×8 touching it at a corner alone, one of 6×6, and void."""
    label = np.zeros((64, 128), np.uint8)
    label[:4, :4] = label[4:6, 4:12] = label[20:26, 20:26] = 1
    label[60:, :] = VOID
    return label


def sizes(**options):
    found = object_sizes.measure_objects(mask(), SPEC, Data("folder", height=32, width=32, **options))
    return {value: sorted(areas) for value, areas in found.items()}


@pytest.mark.parametrize(
    ("options", "things"),
    [
        # 32/64 of the height and 32/128 of the width: an eighth of the area.
        ({"resize_mode": "resize"}, [32 / 8, 36 / 8]),
        # The longer side decides: a quarter of both.
        ({"resize_mode": "pad"}, [32 / 16, 36 / 16]),
        ({"resize_mode": "crop"}, [32, 36]),
        ({"tile_overlap": 0.3}, [32, 36]),
    ],
)
def test_parts_that_touch_at_a_corner_are_one_and_void_is_none(options, things):
    found = sizes(**options)
    assert found.keys() == {0, 1} and found[1] == things


def test_small_images_are_not_enlarged_by_padding():
    found = object_sizes.measure_objects(
        mask(), SPEC, Data("folder", height=256, width=256, resize_mode="pad")
    )
    assert sorted(found[1]) == [32, 36]


def test_remarks_name_the_class_and_what_to_do():
    options = Data("folder", height=32, width=32)
    found = {0: [np.array([900.0])], 1: [np.array([2.0, 40.0]), np.array([3.0])]}
    (line,) = object_sizes.size_warnings(found, SPEC, options)
    assert "'foreground' have fewer than 16 pixels (median 3.0) in images of 32x32" in line
    assert line.endswith("choose a larger --size, or --resize_mode=crop for the images' own pixels")
    (line,) = object_sizes.size_warnings(found, SPEC, Data("folder", height=32, width=32, resize_mode="crop"))
    assert line.endswith("choose a larger --size")


def test_no_remark_for_large_things_and_for_gaps_of_the_background():
    options = Data("folder", height=32, width=32)
    found = {0: [np.array([900.0, 1.0, 1.0])], 1: [np.array([20.0, 30.0])]}
    assert object_sizes.size_warnings(found, SPEC, options) == []
    assert object_sizes.size_warnings({}, SPEC, options) == []


def test_labels_that_overlap_have_no_background():
    spec = DatasetSpec(
        name="x", title="x", kind="multilabel", classes=("a", "b"), palette=((0, 0, 0), (9, 9, 9))
    )
    label = np.zeros((32, 32, 2), np.uint8)
    label[:3, :3, 0] = label[:20, :20, 1] = 1
    options = Data("folder", height=32, width=32)
    found = {value: [areas] for value, areas in object_sizes.measure_objects(label, spec, options).items()}
    assert [found[0][0].tolist(), found[1][0].tolist()] == [[9], [400]]
    (line,) = object_sizes.size_warnings(found, spec, options)
    assert "'a'" in line
