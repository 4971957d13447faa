"""From imjax's folder to the files of each label tool and back: the same masks, the same objects."""

import numpy as np
import pytest
import tifffile
from annotated_folders import (
    SIZE,
    convert,
    outlines,
    planes,
    png,
    write_folder,
    write_images,
    write_labels,
)
from user_errors import raises_user_error

from imjax.data.folder.reader import Folder
from imjax.data.formats import coco, label_studio, polygons, voc
from imjax.data.formats.conversion import WRITERS
from imjax.errors import ErrorCode

OVERLAPPING = {
    "labelme": "a.json", "coco": "annotations.json", "label_studio": "tasks.json", "qupath": "a.png.geojson"
}  # fmt: skip
"""Formats in which a pixel may be of two classes, and the file that has them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "mine"
    return folder, write_folder(folder)


@pytest.mark.parametrize("name", WRITERS)
def test_masks_and_objects_come_back(name, folder, tmp_path):
    source, mask = folder
    convert(source, tmp_path / "tool", name)
    # CVAT and QuPath keep the images to themselves.
    convert(tmp_path / "tool", tmp_path / "back", images=source / "images", kind="auto")
    found = planes(tmp_path / "back", "a")
    assert {key for key in found} == {"cell", "debris", "void"}
    for key, value in (("cell", 1), ("debris", 2), ("void", 255)):
        np.testing.assert_array_equal(found[key], mask == value, err_msg=key)
    assert not any(plane.any() for plane in planes(tmp_path / "back", "b").values())
    assert not (tmp_path / "back" / "masks" / "c.png").exists()
    assert (tmp_path / "back" / "images" / "c.png").read_bytes() == (source / "images" / "c.png").read_bytes()
    before, after = (tifffile.imread(path / "instances" / "a.tif") for path in (source, tmp_path / "back"))
    # What has no number before is an object by itself: a pixel in the ring, and a line.
    assert outlines(before) < outlines(after)
    assert {len(one) for one in outlines(after) - outlines(before)} == {1, 4}


@pytest.mark.parametrize("name", OVERLAPPING)
def test_labels_that_overlap_come_back(name, tmp_path):
    masks = write_labels(tmp_path / "mine")
    convert(tmp_path / "mine", tmp_path / "tool", name)
    images = tmp_path / "mine" / "images"
    convert(tmp_path / "tool", tmp_path / "back", images=images, kind="multilabel")
    found = planes(tmp_path / "back", "a")
    for key, mask in masks.items():
        np.testing.assert_array_equal(found[key], mask)
    if name != "labelme":
        # labelme paints one shape over the other; of others it is not said which counts.
        with raises_user_error(ErrorCode.CONFLICT, f"tool/{OVERLAPPING[name]}") as info:
            convert(tmp_path / "tool", tmp_path / "refused", images=images)
        assert "--label_kind=multilabel" in str(info.value)
    convert(tmp_path / "tool", tmp_path / "painted", images=images, kind="multiclass")
    painted = planes(tmp_path / "painted", "a")
    np.testing.assert_array_equal(painted["round"], masks["round"])
    np.testing.assert_array_equal(painted["alive"], masks["alive"] & ~masks["round"])


@pytest.mark.parametrize("name", ["cvat", "voc"])
def test_one_color_per_pixel_cannot_hold_overlap(name, tmp_path):
    write_labels(tmp_path / "mine")
    with raises_user_error(ErrorCode.CONFLICT, "masks/alive/a.png"):
        convert(tmp_path / "mine", tmp_path / "tool", name)


def test_the_folder_is_one_to_train_on(folder, tmp_path):
    source, mask = folder
    convert(source, tmp_path / "tool", "coco")
    convert(tmp_path / "tool", tmp_path / "back")
    reader = Folder()
    (sample,) = (s for part in reader.scan(tmp_path / "back").values() for s in part if s.name == "a")
    assert reader.spec.classes == ("inconsistent", "background", "cell", "debris")
    image, label = reader.load(sample)
    # Labels count from 1, since 0 is the inconsistent class.
    np.testing.assert_array_equal(label, np.where(mask == 255, 255, mask + 1))
    # Binary masks have a table, too.
    write_images(tmp_path / "two" / "images", "a")
    png(tmp_path / "two" / "masks" / "a.png", np.where(mask == 1, 255, 0).astype(np.uint8))
    convert(tmp_path / "two", tmp_path / "labelme", "labelme")
    convert(tmp_path / "labelme", tmp_path / "again")
    reader = Folder()
    (sample,) = (s for part in reader.scan(tmp_path / "again").values() for s in part)
    assert (reader.spec.kind, reader.spec.classes) == ("binary", ("foreground",))
    np.testing.assert_array_equal(reader.load(sample)[1], mask == 1)


def test_masks_that_number_objects(tmp_path):
    write_images(tmp_path / "mine" / "images", "a", "b")
    numbers = np.zeros(SIZE, np.uint16)
    for number in range(1, 5):
        numbers[3 * number - 3 : 3 * number, :4] = number
    png(tmp_path / "mine" / "masks" / "a.png", numbers)
    png(tmp_path / "mine" / "masks" / "b.png", np.where(numbers < 3, numbers, 0).astype(np.uint16))
    # Two readings, which the reader of the folder refuses.
    with raises_user_error(ErrorCode.CONFLICT, "masks/a.png"):
        convert(tmp_path / "mine", tmp_path / "refused", "coco")
    found = convert(tmp_path / "mine", tmp_path / "tool", "coco", kind="binary")
    assert [len(image.regions) for image in found.images] == [4, 2]
    convert(tmp_path / "tool", tmp_path / "back")
    assert outlines(tifffile.imread(tmp_path / "back" / "instances" / "a.tif")) == outlines(numbers)


def test_outlines_of_any_mask_are_exact():
    draw = np.random.default_rng(1)
    coder = coco.load_coder()
    for _ in range(150):
        size = tuple(draw.integers(1, 11, 2).tolist())
        mask = draw.random(size) < draw.random()
        traced = polygons.trace_polygons(mask)
        rings = [ring for polygon in traced for ring in polygon]
        filled, top, left = polygons.fill_rings(rings, size)
        again = np.zeros(size, bool)
        again[top : top + filled.shape[0], left : left + filled.shape[1]] = filled
        np.testing.assert_array_equal(again, mask)
        for outer, *holes in traced:
            assert polygons._doubled_area(outer) > 0 > max(map(polygons._doubled_area, holes), default=-1)
        assert all(len({*map(tuple, ring.tolist())}) == len(ring) for ring in rings)
        # And by the library that defines COCO's.
        if mask.any() and all(len(polygon) == 1 for polygon in traced):
            codes = coder.frPyObjects([ring.ravel().astype(float).tolist() for ring in rings], *size)
            np.testing.assert_array_equal(coder.decode(coder.merge(codes)), mask)


def test_outlines_by_hand():
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
    ((outer, hole),) = polygons.trace_polygons(mask)
    # The hole touches the outside at a corner, and no ring passes a point twice.
    assert sorted(outer.tolist()) == [[0, 0], [0, 3], [2, 2], [2, 3], [3, 0], [3, 2]]
    assert sorted(hole.tolist()) == [[1, 1], [1, 2], [2, 1], [2, 2]]


@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 17, 256, 257, 65536, 65537, 200_000])
def test_brushes_are_packed_and_unpacked(length):
    values = np.repeat(np.array([0, 255, 3], np.uint8), [length, 1, 5])
    packed = label_studio.encode_brush(values)
    np.testing.assert_array_equal(label_studio.decode_brush(bytes(packed), len(values)), values)
    fourfold = bytes(label_studio.encode_brush(values, times=4))
    np.testing.assert_array_equal(label_studio.decode_brush(fourfold, 4 * len(values)), np.repeat(values, 4))
    with pytest.raises(ValueError):
        label_studio.decode_brush(bytes(packed[:6]), len(values))
    with pytest.raises(ValueError):
        label_studio.decode_brush(bytes(packed), len(values) + 1)


def test_colors_of_voc():
    assert voc.COLORS[[0, 1, 2, 15, 20, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192]
    ]  # fmt: skip
    assert len(np.unique(voc.spread_bits(np.arange(100_000)), axis=0)) == 100_000


def test_outlines_that_leave_the_image_are_cut():
    filled, top, left = polygons.fill_rings([np.array([[-5, -5], [2, -5], [2, 3], [-5, 3]])], (6, 7))
    assert (top, left, filled.shape) == (0, 0, (3, 2)) and filled.all()
    outside, _, _ = polygons.fill_rings([np.array([[20, 20], [25, 20], [25, 25.0]])], (6, 7))
    assert not outside.size


@pytest.mark.parametrize("counts", [[12], [0, 12], [5, 0, 1, 2, 4], [0, 0, 7, 5], [3, 1, 0, 2, 6], [4, 4, 4]])
def test_run_lengths_by_hand(counts):
    # Three rows, four columns; runs go down the columns.
    whole = np.repeat(np.arange(len(counts)) % 2, counts).reshape(4, 3).T.astype(bool)
    mask, left = coco._decode_columns(counts, 3)
    again = np.zeros((3, 4), bool)
    again[:, left : left + mask.shape[1]] = mask
    np.testing.assert_array_equal(again, whole)
