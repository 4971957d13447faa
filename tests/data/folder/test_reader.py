"""A folder of one's own: what is read, how masks become labels, and what is said when something is wrong."""

from __future__ import annotations

import dataclasses
import logging
import os

import cv2
import numpy as np
import pytest
from complaints import complaint
from folders import SIZE, folder, values, write
from photos import read_as
from PIL import Image
from user_errors import assert_error, raises_user_error

from imjax.config.schema import Data
from imjax.data import pack
from imjax.data.folder.reader import SPEC, Folder
from imjax.data.readers import registry
from imjax.data.spec import VOID
from imjax.data.synthetic import writers
from imjax.errors import ErrorCode

RED, GREEN = (230, 25, 75), (60, 180, 75)


def labels_of(raw, kind="auto"):
    """Reader after its scan, and the label of every image by stem."""
    reader = Folder(kind)
    samples = [sample for part in reader.scan(raw).values() for sample in part]
    return reader, {sample.name: reader.load(sample)[1] for sample in samples}


@pytest.mark.parametrize(
    ("masks", "kind", "found", "wanted"),
    [
        ([(0, 255), (0, 0)], "auto", "binary", [(0, 1), (0, 0)]),
        ([(0, 1), (0, 0)], "auto", "binary", [(0, 1), (0, 0)]),
        # 255 beside 1 is void.
        ([(0, 1, 255), (0, 0)], "auto", "binary", [(0, 1, VOID), (0, 0)]),
        ([(0, 1, 255), (0, 255)], "multiclass", "multiclass", [(1, 2, VOID), (1, VOID)]),
        # Numbers of objects, or both ways of white.
        ([(0, 3, 255), (0, 1)], "binary", "binary", [(0, 1, 1), (0, 1)]),
        # Class 0 of the net is the inconsistent class.
        ([(0, 1, 2), (0, 2, 255)], "auto", "multiclass", [(1, 2, 3), (1, 3, VOID)]),
        ([(0, 1), (0, 0)], "multiclass", "multiclass", [(1, 2), (1, 1)]),
        # Soft edges of a foreground that is mostly 255; with less of it, grays are numbers of objects.
        ([(0, 3, 127, 128, *[255] * 4), (0, 0)], "auto", "binary", [(0, 0, 0, 1, *[1] * 4), (0, 0)]),
        ([(0, 3, 127, 128, *[255] * 4), (0, 0)], "binary", "binary", [(0, 0, 0, 1, *[1] * 4), (0, 0)]),
        ([(0, 3, 127, 128, 255, 129, 7, 9)], "binary", "binary", [(0, *[1] * 7)]),
    ],
)
def test_gray_masks(masks, kind, found, wanted, tmp_path):
    stems = [f"s{i}" for i in range(len(masks))]
    raw = folder(tmp_path, {s: values(*m) for s, m in zip(stems, masks, strict=True)})
    reader, labels = labels_of(raw, kind)
    assert reader.spec.kind == found and reader.spec.reserved == (found == "multiclass")
    for stem, expected in zip(stems, wanted, strict=True):
        assert (labels[stem] == values(*expected)).all()
    assert (labels["bare0"] == VOID).all() and labels["bare0"].shape == SIZE


def test_numbers_of_objects_stay_beside_binary_labels(tmp_path):
    # As Cellpose saves them; values of classes are in more than one piece, and number nothing.
    classes = np.where(np.arange(SIZE[0])[:, None] % 6 < 3, values(0, 1, 2, 1, 2), np.uint8(0))
    for name, masks, numbered in (
        ("objects", {f"s{i}": values(0, *range(1, 2 + i % 3), 0) for i in range(8)}, True),
        ("classes", {f"s{i}": classes for i in range(8)}, False),
    ):
        raw = folder(tmp_path / name, masks)
        reader, labels = labels_of(raw, "binary")
        assert reader.has_instances == numbered
        data = Data(
            dataset="folder", dir=str(raw), height=48, width=32, label_kind="binary", resize_mode="pad"
        )
        test = pack.load_packed(pack.prepare_dataset(data, tmp_path / "cache")).splits["test"]
        assert (test.instances is not None) == numbered
        if numbered:
            (sample,) = (s for part in reader.scan(raw).values() for s in part if s.name == "s2")
            assert (reader.load_instances(sample) == masks["s2"]).all()
            # Padded around with void, which is no object.
            assert (test.instances[:, 12:36] > 0).any() and not test.instances[:, :12].any()


def test_a_spec_is_what_the_masks_tell(tmp_path):
    raw = folder(tmp_path / "my cells", {"a": values(0, 1, 2)})
    reader = Folder(rotation_invariant=False)
    assert reader.spec == SPEC == registry.spec("folder")
    reader.scan(raw)
    spec = reader.spec
    assert (spec.name, spec.title, spec.rotation_invariant) == ("folder_my_cells", "my cells", False)
    assert spec.classes == ("inconsistent", "class 0", "class 1", "class 2")
    assert len(set(spec.palette)) == spec.outputs == 4 and (spec.selection_metric, spec.primary_metric) == (
        "soft_miou",
        "miou",
    )


def test_names_and_colors_from_the_table(tmp_path):
    raw = folder(tmp_path, {"a": values(0, 1, 2)})
    # As a spreadsheet saves it.
    table = '\ufeffname;Color\r\nfield;10 20 30\r\ncell;#e6194b\r\ndebris;"1 2 3"\r\n'
    (raw / "classes.csv").write_bytes(table.encode())
    spec = labels_of(raw)[0].spec
    assert spec.classes[1:] == ("field", "cell", "debris") and spec.palette[1:] == (
        (10, 20, 30),
        RED,
        (1, 2, 3),
    )


def test_the_table_may_name_the_foreground(tmp_path):
    raw = folder(tmp_path, {"a": values(0, 255)})
    (raw / "classes.csv").write_text("name\nfield\nnucleus\n")
    spec = labels_of(raw)[0].spec
    assert (spec.kind, spec.classes) == ("binary", ("nucleus",))


def colored(*colors):
    return np.array(colors, np.uint8)[values(*range(len(colors)))]


TABLE = "name,color\nfield,0 0 0\ncell,#e6194b\ndebris,#3cb44b\nvoid,#ffffff\n"


def test_colors(tmp_path):
    masks = {"a": colored((0, 0, 0), RED, GREEN), "b": colored((0, 0, 0), (255, 255, 255))}
    raw = folder(tmp_path, masks)
    # One of them with alpha, as drawing programs save it.
    write(raw / "masks" / "a.png", np.dstack([masks["a"], np.full(SIZE, 200, np.uint8)]))
    (raw / "classes.csv").write_text(TABLE)
    reader, labels = labels_of(raw)
    assert reader.spec.classes == ("inconsistent", "field", "cell", "debris")
    assert (labels["a"] == values(1, 2, 3)).all() and (labels["b"] == values(1, VOID)).all()


def test_gray_colors_are_no_indices(tmp_path):
    raw = folder(tmp_path, {"a": values(0, 128, 200)})
    (raw / "classes.csv").write_text("name,color\nfield,0 0 0\ncell,128 128 128\ndebris,#c8c8c8\n")
    assert (labels_of(raw)[1]["a"] == values(1, 2, 3)).all()


@pytest.mark.parametrize("table", [None, TABLE])
def test_palettes(table, tmp_path):
    # The palette is sorted otherwise than the table, so that indices and colors differ.
    raw = folder(tmp_path, {"a": values(0, 1)})
    picture = Image.fromarray(values(0, 1, 2))
    picture.putpalette([0, 0, 0, *GREEN, *RED])
    picture.save(raw / "masks" / "a.png")
    if table:
        (raw / "classes.csv").write_text(table)
    label = labels_of(raw)[1]["a"]
    assert (label == (values(1, 3, 2) if table else values(1, 2, 3))).all()


def test_a_gray_palette_is_gray(tmp_path):
    raw = folder(tmp_path, {"a": values(0, 1)})
    picture = Image.fromarray(values(1, 0))
    picture.putpalette([255, 255, 255, 0, 0, 0])
    picture.save(raw / "masks" / "a.png")
    assert (labels_of(raw)[1]["a"] == values(0, 1)).all()


def test_a_folder_per_label(tmp_path):
    masks = {"alive/a": values(0, 255), "dead/a": values(0, 1), "alive/b": values(0), "dead/b": values(255)}
    reader, labels = labels_of(folder(tmp_path, masks))
    spec = reader.spec
    assert (spec.kind, spec.classes, spec.selection_metric) == ("multilabel", ("alive", "dead"), "loss")
    assert len(spec.detection_shares) == 2
    assert (labels["a"] == values(0, 1)[..., None]).all() and (labels["b"] == [0, 1]).all()
    assert labels["bare1"].shape == (*SIZE, 2) and (labels["bare1"] == VOID).all()


def test_one_label_folder_is_binary(tmp_path):
    reader, labels = labels_of(folder(tmp_path, {"alive/a": values(0, 255)}))
    assert (reader.spec.kind, reader.spec.classes) == ("binary", ("alive",))
    assert (labels["a"] == values(0, 1)).all()


def test_masks_of_16_bit_and_floats(tmp_path):
    raw = folder(tmp_path, {"a": values(0, 1)})
    write(raw / "masks" / "a.png", values(0, 1, 2).astype(np.uint16))
    assert (labels_of(raw)[1]["a"] == values(1, 2, 3)).all()
    (raw / "masks" / "a.png").unlink()
    write(raw / "masks" / "a.tif", values(0, 1, 2).astype(np.float32))
    assert (labels_of(raw)[1]["a"] == values(1, 2, 3)).all()
    # 300 objects, each with a number.
    write(raw / "masks" / "a.tif", values(0, 1).astype(np.uint16) * 300)
    assert (labels_of(raw, "binary")[1]["a"] == values(0, 1)).all()


def test_images_of_every_kind(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    for ending in (".png", ".PNG", ".tif", ".TIFF", ".bmp"):
        assert (read_as(write(tmp_path / f"a{ending}", rgb)) == rgb).all()
    assert read_as(write(tmp_path / "a.JPeG", rgb)).shape == (8, 9, 3)
    transparent = np.dstack([rgb, np.zeros((8, 9), np.uint8)])
    assert (read_as(write(tmp_path / "b.png", transparent)) == rgb).all()
    gray = rgb[..., 0]
    assert (read_as(write(tmp_path / "c.tif", gray)) == gray[..., None]).all()


def test_other_depths_are_stretched(tmp_path):
    # 0..4095 evenly: the 0.5th percentile is about 20, the 99.5th 4075, so that 2048 is halfway, 127 or 128.
    deep = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    found = read_as(write(tmp_path / "a.png", deep))
    assert found.shape == (64, 64, 3) and (found == found[..., :1]).all()
    flat = found[..., 0].ravel().astype(int)
    assert (flat[:20] == 0).all() and (flat[-20:] == 255).all() and flat[2048] in (127, 128)
    assert (np.diff(flat) >= 0).all()
    floats = read_as(write(tmp_path / "a.tif", deep.astype(np.float32) / 4095))
    assert (floats == found).all()
    assert not read_as(write(tmp_path / "b.png", np.full((8, 8), 900, np.uint16))).any()
    # Less than one in two hundred is bright: the percentiles are equal, and the extremes are taken.
    spot = np.full((64, 64), 900, np.uint16)
    spot[0, 0] = 1000
    assert read_as(write(tmp_path / "c.png", spot))[..., 0].ravel().tolist() == [255] + [0] * 4095


@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
def test_the_example_packs(fit, originals, tmp_path):
    raw = originals / "folder"
    sizes = {read_as(path).shape for path in (raw / "images").iterdir()}
    options = Data(
        "folder", str(raw), height=32, width=32, resize_mode=fit, label_fraction=1.0, val_fraction=0.2
    )
    packed = pack.load_packed(pack.prepare_dataset(options, tmp_path))
    sources = {name: len(set(split.sources)) for name, split in packed.splits.items()}
    # Of 8 images 4 have a mask: round(0.8) of them for the test, the same for val.
    assert sources == {"labeled": 2, "unlabeled": 4, "val": 1, "test": 1} and len(sizes) > 3
    assert packed.spec.classes[1:] == ("background", "striped ellipse", "dotted ellipse", "box")
    assert (packed.splits["unlabeled"].labels == VOID).all()
    for name in ("labeled", "val", "test"):
        found = set(np.unique(packed.splits[name].labels).tolist())
        assert found - {VOID} <= {1, 2, 3, 4} and len(found) > 1


def test_a_change_of_the_table_is_a_change_of_the_data(tmp_path):
    raw = folder(tmp_path / "raw", {s: values(0, 1, 2) for s in "abc"})
    (raw / "classes.csv").write_text("name\nx\ny\nz\n")
    options = Data("folder", str(raw), height=16, width=16, label_fraction=1.0)
    before = pack.prepare_dataset(options, tmp_path / "cache")
    assert pack.prepare_dataset(options, tmp_path / "cache") == before
    (raw / "classes.csv").write_text("name\nx\ny\nother\n")
    after = pack.prepare_dataset(options, tmp_path / "cache")
    assert after != before and pack.load_packed(after).spec.classes[-1] == "other"
    other = dataclasses.replace(options, label_kind="binary")
    assert pack.load_packed(pack.prepare_dataset(other, tmp_path / "cache")).spec.kind == "binary"


def parts_of(raw, lines):
    (raw / "splits.csv").write_text("image,split\n" + lines)
    return {part: [s.name for s in samples] for part, samples in Folder().scan(raw).items() if samples}


def test_a_split_of_one_s_own(tmp_path, caplog):
    raw = folder(tmp_path / "raw", {s: values(0, 255) for s in "abcd"})
    with caplog.at_level(logging.INFO, "imjax"):
        parts = parts_of(raw, "a,val\nb.png,test\nc,unlabeled\nbare0,Unlabeled\n")
    assert parts == {"labeled": ["d"], "unlabeled": ["bare0", "bare1", "c"], "val": ["a"], "test": ["b"]}
    assert "1 images with a mask are not listed" in caplog.text
    options = Data("folder", str(raw), height=16, width=16, label_fraction=1.0)
    split = pack.load_packed(pack.prepare_dataset(options, tmp_path / "cache")).splits["unlabeled"]
    # A mask of an unlabeled image is its truth, to measure with.
    assert [bool((label == VOID).all()) for label in split.labels] == [True, True, False]


def test_everything_labeled(tmp_path):
    raw = folder(tmp_path / "raw", {s: values(0, 255) for s in "abcdefghij"}, bare=0)
    options = Data("folder", str(raw), height=16, width=16, label_fraction=1.0, val_fraction=0.2)
    splits = pack.load_packed(pack.prepare_dataset(options, tmp_path / "cache")).splits
    assert {name: len(s.names) for name, s in splits.items()} == {
        "labeled": 6, "unlabeled": 0, "val": 2, "test": 2,
    }  # fmt: skip


def test_writing_the_example(tmp_path):
    writers.write_synthetic("folder", tmp_path / "x", {"train_val_test": 4}, size=(64, 80))
    assert sorted(os.listdir(tmp_path / "x")) == ["classes.csv", "images", "masks"]
    assert len(os.listdir(tmp_path / "x" / "masks")) == 2
    mask = cv2.imread(str(tmp_path / "x" / "masks" / "scene_000.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (64, 80, 3)


def test_missing_folders(tmp_path):
    assert_error(complaint(Folder(), tmp_path / "nothing"), ErrorCode.MISSING, "nothing/images")


def test_the_first_of_several_problems_tells_how_to_see_all(tmp_path):
    raw = folder(tmp_path, {"a": values(0, 255)})
    write(raw / "masks" / "x.png", values(0, 255))
    (raw / "classes.csv").write_text("wrong\n")
    error = complaint(Folder(), raw)
    assert_error(error, ErrorCode.MISSING, raw / "masks" / "x.png")
    command = f"python -m imjax.prepare --dataset=folder --raw={raw} --check"
    assert f"3 problems; all of them: {command}" in str(error) and "\n" not in str(error)


def test_reading_a_packed_folder_again_looks_at_no_mask(tmp_path, monkeypatch):
    raw = folder(tmp_path / "raw", {s: values(0, 255) for s in "abc"})
    options = Data("folder", str(raw), height=16, width=16, label_fraction=1.0)
    root = pack.prepare_dataset(options, tmp_path / "cache")
    monkeypatch.setattr("imjax.data.folder.reader.decide_meaning", lambda *_: pytest.fail("masks were read"))
    assert pack.prepare_dataset(options, tmp_path / "cache") == root


def test_an_empty_labeled_set(tmp_path):
    raw = folder(tmp_path / "raw", {s: values(0, 255) for s in "ab"})
    with raises_user_error(ErrorCode.TOO_FEW, "training"):
        pack.prepare_dataset(
            Data("folder", str(raw), height=16, width=16, label_fraction=1.0), tmp_path / "cache"
        )
