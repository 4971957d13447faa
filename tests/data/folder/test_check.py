"""What is wrong with a folder of one's own: one line each, and all of them in the health report."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from complaints import assert_complaint
from folders import SIZE, folder, values, write
from photos import read_as
from PIL import Image
from user_errors import assert_error, raises_user_error

from imjax import prepare
from imjax.config.schema import Data
from imjax.data.folder import check, contact_sheet
from imjax.data.folder.reader import Folder
from imjax.data.spec import VOID, DatasetSpec
from imjax.errors import ErrorCode

BINARY = (0, 255)


@pytest.fixture
def raw(tmp_path):
    return folder(tmp_path / "raw", {s: values(*BINARY) for s in ("a1", "b1", "c1", "d1", "e1")})


def complains(raw, code, field, kind="auto"):
    """A reader that scans, infers and loads ends with this error."""
    assert_complaint(Folder(kind), raw, code, field)


def test_mask_without_image(raw):
    path = write(raw / "masks" / "a1_mask.png", values(*BINARY))
    complains(raw, ErrorCode.MISSING, path)


def test_two_files_of_one_stem(raw):
    path = write(raw / "images" / "a1.tif", np.zeros((*SIZE, 3), np.uint8))
    complains(raw, ErrorCode.CONFLICT, path)


def test_jpeg_masks(raw):
    path = write(raw / "masks" / "bare0.jpg", values(*BINARY))
    complains(raw, ErrorCode.UNSUPPORTED, path)


def test_no_masks(raw):
    for path in (raw / "masks").iterdir():
        path.unlink()
    complains(raw, ErrorCode.MISSING, raw / "masks")


def test_no_images(raw):
    for path in (raw / "images").iterdir():
        path.unlink()
    complains(raw, ErrorCode.MISSING, raw / "images")


def test_folders_of_other_layouts_are_told_what_to_do(raw, tmp_path):
    beside, flat, tool = (tmp_path / name for name in ("beside", "flat", "tool"))
    for folder_, names in ((beside, ("a", "a_cp_masks")), (flat, ("a", "b"))):
        for name in names:
            write(folder_ / f"{name}.png", np.zeros(SIZE, np.uint8))
        text, problems = checked(folder_, tmp_path / "sheet.png")
        assert problems[0].code is ErrorCode.MISSING
        assert (f"imjax convert {folder_}" in text) == (folder_ is beside)
        assert ("move the 2 image files" in text) == (folder_ is flat)
    write(tool / "images" / "a.png", np.zeros(SIZE, np.uint8))
    (tool / "annotations.json").write_text("{}")
    text, problems = checked(tool, tmp_path / "sheet.png")
    assert "annotations.json" in text and problems[0].field == str(tool / "masks")


def test_sizes_differ(raw):
    path = write(raw / "masks" / "b1.png", values(*BINARY, size=(24, 30)))
    complains(raw, ErrorCode.CONFLICT, path)


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_truncated(raw, kind):
    path = raw / kind / "b1.png"
    path.write_bytes(path.read_bytes()[:-20])
    complains(raw, ErrorCode.DAMAGED, path)


def test_pages(raw):
    pages = [Image.fromarray(values(i)) for i in range(3)]
    path = raw / "images" / "stack.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    complains(raw, ErrorCode.UNSUPPORTED, path)


def test_nan_in_an_image(raw):
    path = write(raw / "images" / "f1.tif", np.full(SIZE, np.nan, np.float32))
    complains(raw, ErrorCode.OUT_OF_RANGE, path)


@pytest.mark.parametrize(
    ("mask", "kind", "code", "field"),
    [
        (values(0, 1), "auto", ErrorCode.CONFLICT, "masks/b1.tif"),
        (values(0, 40), "auto", ErrorCode.OUT_OF_RANGE, "masks/b1.tif"),
        (values(0, 1, 40, 41), "auto", ErrorCode.OUT_OF_RANGE, "masks/b1.tif"),
        (values(0, 255), "multilabel", ErrorCode.CONFLICT, "masks"),
        (values(0, 255), "multiclass", ErrorCode.OUT_OF_RANGE, "masks"),
        (values(0, 1).astype(np.float32) / 2, "auto", ErrorCode.WRONG_TYPE, "masks/b1.tif"),
    ],
)
def test_values(mask, kind, code, field, raw):
    (raw / "masks" / "b1.png").unlink()
    write(raw / "masks" / "b1.tif", mask)
    complains(raw, code, field, kind)


def test_all_masks_are_empty(tmp_path):
    raw = folder(tmp_path, {"a": values(0)})
    complains(raw, ErrorCode.OUT_OF_RANGE, raw / "masks")


def test_colors_without_a_table(raw):
    path = write(raw / "masks" / "b1.png", np.full((*SIZE, 3), (255, 0, 16), np.uint8))
    complains(raw, ErrorCode.MISSING, path)


def test_colors_that_are_not_in_the_table(raw):
    (raw / "classes.csv").write_text("name,color\nfield,0 0 0\ncell,#ffffff\nscratch,#ff0000\n")
    path = write(raw / "masks" / "b1.png", np.full((*SIZE, 3), (255, 0, 16), np.uint8))
    complains(raw, ErrorCode.OUT_OF_RANGE, path)


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("label\nx\n", ErrorCode.MALFORMED),
        ("name,color\nx,#000000\nx,#ffffff\n", ErrorCode.CONFLICT),
        ("name,color\nx,#000000\ny,0 0 0\n", ErrorCode.CONFLICT),
        ("name,color\nx,#00000\n", ErrorCode.MALFORMED),
        ("name,color\nx,0 0 256\n", ErrorCode.MALFORMED),
        ("name,color\nx,#000000\ny,\n", ErrorCode.MISSING),
        ("name,color\nx,0,0,0\n", ErrorCode.MALFORMED),
        ("name\ninconsistent\n", ErrorCode.OUT_OF_RANGE),
        ("name\n", ErrorCode.OUT_OF_RANGE),
    ],
)
def test_class_tables(table, code, raw):
    (raw / "classes.csv").write_text(table)
    complains(raw, code, raw / "classes.csv")


def test_a_table_that_is_no_text(raw):
    (raw / "classes.csv").write_bytes(b"name\n\xff\xfe")
    complains(raw, ErrorCode.UNREADABLE, raw / "classes.csv")


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("a1,train", ErrorCode.OUT_OF_RANGE),
        ("a1.tif,val", ErrorCode.UNKNOWN),
        ("a1,val\na1.png,test", ErrorCode.CONFLICT),
        ("bare0,val", ErrorCode.MISSING),
        ("a1,val", ErrorCode.TOO_FEW),
    ],
)
def test_split_tables(lines, code, raw):
    (raw / "splits.csv").write_text(f"image,split\n{lines}\n")
    complains(raw, code, raw / "splits.csv")


def test_label_folders(tmp_path):
    raw = folder(
        tmp_path, {"alive/a": values(*BINARY), "dead/a": values(*BINARY), "alive/b": values(*BINARY)}
    )
    complains(raw, ErrorCode.MISSING, raw / "masks" / "dead" / "b.png")
    write(raw / "masks" / "dead" / "b.png", values(0, 7))
    complains(raw, ErrorCode.OUT_OF_RANGE, raw / "masks" / "dead" / "b.png")
    write(raw / "masks" / "dead" / "b.png", values(0))
    complains(raw, ErrorCode.CONFLICT, raw / "masks", kind="binary")
    (raw / "classes.csv").write_text("name,color\nalive,#00ff00\n")
    complains(raw, ErrorCode.MISSING, raw / "classes.csv")
    write(raw / "masks" / "b.png", values(0))
    complains(raw, ErrorCode.CONFLICT, raw / "masks" / "alive")


def checked(raw, page, **changes):
    options = Data("folder", str(raw), height=16, width=32, label_fraction=1.0, val_fraction=0.2, **changes)
    return check.check_folder(options, page, lambda samples, what: samples)


def test_report_of_a_sound_folder(raw, tmp_path):
    write(raw / "images" / "b1.png", read_as(raw / "images" / "a1.png"))
    write(raw / "images" / "wide.png", np.zeros((24, 64, 3), np.uint8))
    write(raw / "masks" / "c1.png", values(0))
    write(raw / "images" / "old" / "x.png", np.zeros((4, 4), np.uint8))
    (raw / "images" / "notes.txt").write_text("x")
    text, problems = checked(raw, page := tmp_path / "sheet.png")
    assert problems == [] and "problems: none" in text
    for line in (
        f"{raw}: 8 images, 5 with a mask and 3 without",
        "32x24 (7 images), 2 different, 32 to 64 wide and 24 to 24 high; packed as 32x16 by resize_mode =",
        "labels: binary, 1 class: foreground (masks of 0 and 255)",
        # Half of four masks, nothing of the fifth.
        "  40.0 % foreground",
        "split: 3 labeled, 3 unlabeled, 1 val, 1 test (drawn with seed 0)",
        "one class only, or nothing, in the mask of c1",
        "the same pixels in a1, b1; a copy in the test set flatters",
        "old: holds images, which are not read",
        "1 files such as notes.txt are not read",
    ):
        assert line in text
    # A legend of 30 pixels, and rows of three: a caption of 20 above images of 32x24, six times as large.
    assert cv2.imread(str(page)).shape == (30 + 3 * (20 + 144 + 10), 3 * 396 + 10, 3)


def test_report_lists_all_problems(raw, tmp_path):
    write(raw / "masks" / "x.png", values(*BINARY))
    write(raw / "masks" / "a1.png", values(*BINARY, size=(10, 10)))
    (raw / "images" / "b1.png").write_bytes(b"")
    (raw / "masks" / "c1.png").write_bytes(b"x")
    (raw / "splits.csv").write_text("image,split\na1,train\n")
    text, problems = checked(raw, tmp_path / "sheet.png")
    found = sorted((error.code, str(Path(error.field).relative_to(raw))) for error in problems)
    assert found == sorted(
        [
            (ErrorCode.MISSING, "masks/x.png"),
            (ErrorCode.CONFLICT, "masks/a1.png"),
            (ErrorCode.DAMAGED, "images/b1.png"),
            (ErrorCode.UNREADABLE, "masks/c1.png"),
            (ErrorCode.OUT_OF_RANGE, "splits.csv"),
            (ErrorCode.TOO_FEW, "splits.csv"),
            (ErrorCode.TOO_FEW, "splits.csv"),
        ]
    )
    assert "problems: 7" in text and all(f"  {error}" in text for error in problems)


def test_report_of_a_folder_that_is_not_there(tmp_path):
    text, problems = checked(tmp_path / "nothing", tmp_path / "sheet.png")
    assert "0 images" in text and not (tmp_path / "sheet.png").exists()
    assert_error(problems[0], ErrorCode.MISSING, "nothing/images")


def test_a_class_that_no_mask_has(tmp_path):
    raw = folder(tmp_path / "raw", {s: values(0, 1, 255) for s in "abc"})
    (raw / "classes.csv").write_text("name\nfield\ncell\ndebris\n")
    text, problems = checked(raw, tmp_path / "sheet.png", resize_mode="pad")
    # A third of 32 columns: 11, 11 and 10 of them, 10/32 void.
    assert "class 'debris' is in no mask" in text and "31.2 % void" in text
    assert "inconsistent" not in text and not problems


def test_images_of_unlike_brightness_are_noted_and_all_of_them_can_be_seen(tmp_path):
    raw = folder(tmp_path / "raw", {s: values(0, 255) for s in "abc"})
    ramp = np.linspace(0, 255, 32 * 24).reshape(24, 32).astype(np.uint8)
    for stem, share in zip("abc", (1, 0.5, 0.25), strict=True):
        write(raw / "images" / f"{stem}.png", (share * ramp).astype(np.uint8))
    said, _ = checked(raw, tmp_path / "plain.png")
    quiet, _ = checked(raw, tmp_path / "alike.png", percentile_normalize=True)
    assert "the brightest pixels are" in said and "--percentile_normalize" not in quiet
    pages = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("plain", "alike"))
    # Images of 32x24, six times as large, below a legend of 30 and captions of 20; every 396 columns.
    means = [[page[60:180, 30 + 396 * i : 180 + 396 * i].mean() for i in range(3)] for page in pages]
    assert max(means[0]) < 1.3 * min(means[0]) and max(means[1]) < 1.1 * min(means[1])


def test_outlines():
    spec = DatasetSpec("x", "x", "multiclass", ("inconsistent", "background", "cell", "dark"),
                       ((9, 9, 9), (70, 70, 70), (200, 150, 0), (40, 0, 0)), reserved=True)  # fmt: skip
    label = np.ones((9, 16), np.uint8)
    label[2:7, 2:7], label[:, 12:] = 2, 3
    found = contact_sheet.draw_outlines(np.full((9, 16, 3), 100, np.uint8), label, spec)
    # Outside, outline, inside of a bright class and of a dark one, which the image's border does not end.
    assert found[4, [0, 1, 2, 3, 10, 11, 12, 13, 15]].tolist() == [
        [100] * 3, [0] * 3, [200, 150, 0], [100] * 3, [100] * 3, [255] * 3, [40, 0, 0], [100] * 3, [100] * 3
    ]  # fmt: skip
    label[:, :2] = VOID
    found = contact_sheet.draw_outlines(np.full((9, 16, 3), 100, np.uint8), label, spec)
    assert [255] * 3 in found[:, 0].tolist() and [0] * 3 in found[:, 0].tolist()


def test_what_is_dark_is_brightened():
    bright, dim = np.full((8, 8, 3), 200, np.uint8), np.arange(192, dtype=np.uint8).reshape(8, 8, 3) // 8
    bright[::2] = 20
    assert contact_sheet.brighten(bright) == (pytest.approx(bright), False)
    shown, is_brightened = contact_sheet.brighten(dim)
    assert is_brightened and shown.max() > 200 and shown.mean() > 60
    # A bright sky alone does not make the rest seen.
    dim[0] = 255
    assert contact_sheet.brighten(dim)[0][1:].mean() > 2 * dim[1:].mean()


def test_long_names_keep_both_ends():
    short = contact_sheet.shorten("a_rather_long_name_of_a_microscope_z003", 120)
    assert short.startswith("a_r") and short.endswith("003") and "…" in short
    assert contact_sheet.shorten("z003", 120) == "z003"


def test_every_mask_is_on_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr(contact_sheet, "PAGE_TILES", 2)
    raw = folder(tmp_path / "raw", {s: values(0, 255) for s in "abcd"}, bare=1)
    said, _ = checked(raw, tmp_path / "sheet.png")
    assert "sheet.png and sheet.page2.png to sheet.page3.png: all 4 images with a mask and all 1" in said
    monkeypatch.setattr(check, "MOST_MASKED", 2)
    said, _ = checked(raw, tmp_path / "sheet.png")
    # A page of the sheet before would be out of date.
    assert "2 of 4 images with a mask, evenly chosen" in said
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["sheet.page2.png", "sheet.png"]


def test_a_sheet_that_cannot_be_written(raw, tmp_path):
    with raises_user_error(ErrorCode.UNWRITABLE, "--sheet"):
        checked(raw, tmp_path / "no" / "sheet.png")


def test_the_door(raw, tmp_path, capsys):
    from absl import flags
    from absl.testing import flagsaver

    if "raw" not in flags.FLAGS:
        prepare.define_flags()
        flags.FLAGS(["x"])
    given = dict(dataset="folder", raw=str(raw), check=True, sheet=str(tmp_path / "sheet.png"))
    with flagsaver.flagsaver(**given):
        prepare.main([])
    assert "problems: none" in capsys.readouterr().out
    for stem, count in (("a1", 2), ("b1", 3), ("c1", 4), ("d1", 5), ("e1", 6)):
        write(raw / "masks" / f"{stem}.png", values(*range(count)))
    with flagsaver.flagsaver(**given), raises_user_error(ErrorCode.CONFLICT, raw):
        prepare.main([])
    assert "--label_kind=… in this command" in capsys.readouterr().out
    for stem in ("a1", "b1", "c1", "d1", "e1"):
        write(raw / "masks" / f"{stem}.png", values(*BINARY))
    write(raw / "masks" / "x.png", values(*BINARY))
    with flagsaver.flagsaver(**given), raises_user_error(ErrorCode.MISSING, raw):
        prepare.main([])
    with (
        flagsaver.flagsaver(**given | {"dataset": "suim"}),
        raises_user_error(ErrorCode.UNSUPPORTED, "--check"),
    ):
        prepare.main([])
