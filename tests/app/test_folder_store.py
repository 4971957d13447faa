"""Masks that the page writes are read by training as what was painted, in every kind of folder."""

import os
import sys

import numpy as np
import pytest
from app_folders import SIZE, columns, halves, make_folder, write
from PIL import Image
from user_errors import raises_user_error

from imjax.app.folder_store import NO_MASK, FolderStore, VersionConflict, pack_planes, unpack_planes
from imjax.data.folder.mask_file import read_mask
from imjax.data.folder.reader import Folder
from imjax.errors import ErrorCode


def paint(store, name, *values):
    """Save a mask with these values in rows of the same height; returns what was saved."""
    rows = np.arange(SIZE[0]) * len(values) // SIZE[0]
    pixels = np.broadcast_to(np.array(values, np.uint8)[rows][:, None], SIZE).copy()
    store.save_mask(name, pixels, store.load_mask(name).version)
    return pixels


def read_by_training(raw, name):
    """The label of an image as `imjax train` reads it."""
    reader = Folder()
    parts = reader.scan(raw)
    sample = next(s for part in parts.values() for s in part if s.name == name)
    return reader.load(sample)[1]


def palette_mask(path, pixels):
    picture = Image.fromarray(pixels, mode="P")
    picture.putpalette([0, 0, 0, 10, 200, 30, 200, 10, 30] + [0] * 9)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


CASES = {
    "binary": ({"a.png": halves(0, 255)}, "", (0, 1)),
    "binary of 0 and 1, TIFF": ({"a.tif": halves(0, 1)}, "", (0, 1)),
    "binary of 16 bits": ({"a.png": halves(0, 65535, np.uint16)}, "", (0, 1)),
    "void": ({"a.png": columns(0, 0, 0, 1, 255)}, "", (0, 1, 255)),
    "colors": (
        {"a.png": np.stack([halves(0, 200), halves(0, 100), halves(0, 0)], -1)},
        "name,color\nground,0 0 0\ncell,200 100 0\ndust,0 0 90\n",
        (1, 2, 3),
    ),
    "class ids of a table": ({"a.bmp": halves(7, 9)}, "name,id\nground,7\ncell,9\ndust,200\n", (1, 2, 3)),
    "large ids": (
        {"a.png": halves(7, 900, np.uint16)},
        "name,id\nground,7\ncell,900\ndust,200\n",
        (1, 2, 3),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_painted_mask_is_what_training_reads(tmp_path, case):
    masks, table, values = CASES[case]
    raw = make_folder(tmp_path, masks)
    if table:
        (raw / "classes.csv").write_text(table)
    store = FolderStore(raw)
    for name in ("a", "bare0"):
        pixels = paint(store, name, *values)
        assert np.array_equal(read_by_training(raw, name), pixels)
        assert np.array_equal(FolderStore(raw).load_mask(name).pixels, pixels)
    assert [path.suffix for path in store._masks["a"]] == [f".{next(iter(masks)).split('.')[1]}"]
    assert not list((raw / "masks").glob(".*")), "a temporary file is left"


def test_a_palette_stays(tmp_path):
    raw = make_folder(tmp_path, {}, bare=2)
    palette_mask(raw / "masks" / "bare0.png", columns(0, 0, 0, 1, 2))
    store = FolderStore(raw)
    assert store.meaning.kind == "multiclass"
    pixels = paint(store, "bare1", 1, 2, 3)
    mask = read_mask(raw / "masks" / "bare1.png")
    assert mask.storage == "palette" and mask.palette[1].tolist() == [10, 200, 30]
    assert np.array_equal(read_by_training(raw, "bare1"), pixels)


def test_labels_that_overlap(tmp_path):
    raw = make_folder(tmp_path, {"alive/a.png": halves(0, 255), "dead/a.png": halves(255, 0)})
    store = FolderStore(raw)
    assert [(each.name, each.value) for each in store.classes] == [("alive", 1), ("dead", 2)]
    assert np.array_equal(store.load_mask("a").pixels, halves(2, 1))
    pixels = paint(store, "bare0", 0, 1, 2, 3)
    assert np.array_equal(pack_planes(read_by_training(raw, "bare0")), pixels)
    assert np.array_equal(pack_planes(unpack_planes(pixels, 2)), pixels)


@pytest.mark.parametrize(
    ("table", "names", "values"),
    [
        ("", ["foreground"], (0, 1)),
        ("name\ncell\n", ["cell"], (0, 1)),
        ("name,color\nbackground,#000000\ncell,#ffffff\n", ["cell"], (0, 1)),
        ("name,color\ncell,#ff0000\ndust,#00ff00\n", ["background", "cell", "dust"], (1, 2, 3)),
        ("name\nbackground\ncell\ndust\n", ["background", "cell", "dust"], (1, 2, 3)),
        ("name,id\nbackground,0\ncell,3\ndust,5\nvoid,9\n", ["background", "cell", "dust"], (1, 2, 3, 255)),
    ],
)
def test_the_first_mask_of_a_folder(tmp_path, table, names, values):
    raw = make_folder(tmp_path, {})
    if table:
        (raw / "classes.csv").write_text(table)
    store = FolderStore(raw)
    assert [each.name for each in store.classes] == names and store.load_mask("bare0").version == NO_MASK
    # Nothing on the first one, from which nobody could tell the classes.
    paint(store, "bare1", store.ground)
    store = FolderStore(raw)
    pixels = paint(store, "bare0", *values)
    assert np.array_equal(read_by_training(raw, "bare0"), pixels)


def test_new_masks_are_named_as_the_others(tmp_path):
    raw = make_folder(tmp_path, {}, bare=2)
    write(raw / "masks" / "bare0_mask.png", halves(0, 255))
    store = FolderStore(raw)
    paint(store, "bare1", 0, 1)
    assert (raw / "masks" / "bare1_mask.png").is_file() and FolderStore(raw).has_mask("bare1")


def test_a_second_writer_is_refused(tmp_path):
    raw = make_folder(tmp_path, {"a.png": halves(0, 255)})
    mine, theirs = FolderStore(raw), FolderStore(raw)
    for name in ("a", "bare0"):
        version = mine.load_mask(name).version
        written = paint(theirs, name, 1, 0)
        with pytest.raises(VersionConflict):
            mine.save_mask(name, np.zeros(SIZE, np.uint8), version)
        assert np.array_equal(mine._load_plane(raw / "masks" / f"{name}.png", SIZE), written)


def test_a_mask_that_would_change_what_others_mean_is_refused(tmp_path):
    # Two classes without a line for the background: 0 is that as long as it fills most of each mask.
    raw = make_folder(tmp_path, {"a.png": columns(0, 0, 0, 1, 2)})
    (raw / "classes.csv").write_text("name\ncell\ndust\nfiber\n")
    store = FolderStore(raw)
    assert len(store.classes) == 4
    with raises_user_error(ErrorCode.CONFLICT, "masks/bare0.png"):
        paint(store, "bare0", 2, 3)
    assert not store.has_mask("bare0") and store.load_mask("bare0").version == NO_MASK


@pytest.mark.parametrize(
    ("pixels", "code"),
    [
        (np.zeros((3, 3), np.uint8), ErrorCode.WRONG_TYPE),
        (np.full(SIZE, 2, np.uint8), ErrorCode.OUT_OF_RANGE),
    ],
)
def test_pixels_that_are_no_mask(tmp_path, pixels, code):
    store = FolderStore(make_folder(tmp_path, {"a.png": halves(0, 255)}))
    with raises_user_error(code, "mask"):
        store.save_mask("a", pixels, store.load_mask("a").version)


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a.png", "", "masks/a", "..\\a"])
def test_only_images_of_the_folder_have_names(tmp_path, name):
    raw = make_folder(tmp_path / "own", {"a.png": halves(0, 255)})
    write(tmp_path / "images" / "a.png", halves(0, 1))
    store = FolderStore(raw)
    for act in (store.load_image, store.load_mask, lambda n: store.save_mask(n, halves(0, 1), NO_MASK)):
        with raises_user_error(ErrorCode.UNKNOWN, "name"):
            act(name)


def test_a_link_is_replaced_and_not_followed(tmp_path):
    raw, outside = make_folder(tmp_path / "own", {}), write(tmp_path / "outside.png", halves(0, 255))
    (raw / "masks").mkdir()
    (raw / "masks" / "bare0.png").symlink_to(outside)
    before = outside.read_bytes()
    paint(FolderStore(raw), "bare0", 1, 0)
    assert outside.read_bytes() == before and not (raw / "masks" / "bare0.png").is_symlink()


def test_deep_images_are_shown_with_eight_bits(tmp_path):
    raw = make_folder(tmp_path, {}, bare=0)
    write(raw / "images" / "deep.tif", (np.arange(24 * 32).reshape(SIZE) * 50).astype(np.uint16))
    image = FolderStore(raw).load_image("deep")
    assert image.dtype == np.uint8 and image.shape == (*SIZE, 3) and image.max() == 255


def test_outlines_of_labelme_are_shown_and_not_written(tmp_path):
    raw = make_folder(tmp_path, {})
    (raw / "masks").mkdir()
    (raw / "masks" / "bare0.json").write_text(
        '{"version": "5", "imageHeight": 24, "imageWidth": 32, "shapes": [{"label": "cell", "shape_type": '
        '"polygon", "points": [[2, 2], [20, 2], [20, 20]]}]}'
    )
    store = FolderStore(raw)
    assert store.read_only and store.load_mask("bare0").pixels.sum() > 50
    with raises_user_error(ErrorCode.UNSUPPORTED, raw / "masks"):
        paint(store, "bare1", 0, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_no_browser_could_send(tmp_path):
    raw = make_folder(tmp_path, {"a.png": halves(0, 255)})
    os.rename(os.fsencode(raw / "images" / "bare0.png"), os.fsencode(raw / "images") + b"/\xff.png")
    with raises_user_error(ErrorCode.MALFORMED, "images/\\udcff.png"):
        FolderStore(raw)


def test_a_folder_that_training_refuses(tmp_path):
    with raises_user_error(ErrorCode.MISSING, tmp_path / "images"):
        FolderStore(tmp_path)
    raw = make_folder(tmp_path, {"a.png": halves(0, 255), "lonely.png": halves(0, 255)})
    (raw / "images" / "lonely.png").unlink()
    with raises_user_error(ErrorCode.MISSING, "masks/lonely.png"):
        FolderStore(raw)
