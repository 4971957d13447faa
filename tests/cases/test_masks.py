"""What people's masks hold: what is read equals what was meant, or a refusal names the file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mask_folders import (
    SIZE,
    STEMS,
    Save,
    as_values,
    list_problems,
    make_folder,
    numbered,
    read_folder,
    save_color,
    save_few_bits,
    save_gray,
    save_noise,
    save_palette,
    save_pillow,
    save_tiff,
    scene,
    settings,
)
from PIL import Image
from user_errors import assert_error

from imjax.data.folder import check
from imjax.data.folder.mask_names import pair_names
from imjax.data.spec import VOID
from imjax.errors import ErrorCode

BLACK, WHITE, GRAY, RED, GREEN = (0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 0, 0), (0, 200, 0)
VOC = (BLACK, (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), GRAY)
INVERTED = tuple((255 - i,) * 3 for i in range(256))
BINARY, NAMED, THREE = ("foreground",), ("background", "cat", "dog"), ("class 0", "class 1", "class 2")


@dataclasses.dataclass(frozen=True)
class Kind:
    """A way to store labels, and what is read."""

    name: str
    make: Callable[[np.ndarray], np.ndarray]
    """Label of `scene` → what the file holds."""
    classes: tuple[str, ...]
    """Of the spec, without the inconsistent class."""
    labels: tuple[int, ...]
    """What 0, 1, 2 of the scene become."""
    save: Save = save_gray
    ending: str = ".png"
    table: str = ""
    kind: str = "auto"
    some: tuple[int, ...] = ()
    """Classes of the scene that every second mask lacks."""


def rgb(*colors):
    return lambda label: np.array(colors, np.uint8)[label]


def rgba(*colors):
    return lambda label: np.array([(*c, 0 if c == BLACK else 255) for c in colors], np.uint8)[label]


KINDS = [
    # Gray values of every depth.
    Kind("0 and 255", as_values(0, 255, 255), BINARY, (0, 1, 1)),
    Kind("0 and 1", as_values(0, 1, 1), BINARY, (0, 1, 1)),
    Kind("0 and 128", as_values(0, 128, 128), BINARY, (0, 1, 1)),
    Kind("0 and 65535", as_values(0, 65535, 65535, dtype=np.uint16), BINARY, (0, 1, 1)),
    Kind("0 and 255 of 16 bits", as_values(0, 255, 255, dtype=np.uint16), BINARY, (0, 1, 1)),
    Kind("1 bit", as_values(0, 1, 1), BINARY, (0, 1, 1), save_few_bits(1)),
    Kind("2 bits", as_values(0, 1, 2), THREE, (1, 2, 3), save_few_bits(2)),
    Kind("2 bits, 0 and 3", as_values(0, 3, 3), BINARY, (0, 1, 1), save_few_bits(2)),
    Kind("4 bits", as_values(0, 1, 2), THREE, (1, 2, 3), save_few_bits(4)),
    Kind("32-bit labels", as_values(0, 1, 2, dtype=np.uint32), THREE, (1, 2, 3), save_tiff(), ".tif"),
    Kind("signed", as_values(0, 1, 2, dtype=np.int16), THREE, (1, 2, 3), save_tiff(), ".tif"),
    Kind("floats", as_values(0, 1, 2, dtype=np.float32), THREE, (1, 2, 3), save_tiff(), ".tif"),
    Kind("0.0 and 1.0", as_values(0, 1, 1, dtype=np.float32), BINARY, (0, 1, 1), save_tiff(), ".tif"),
    Kind("BigTIFF", as_values(0, 1, 2), THREE, (1, 2, 3), save_tiff(bigtiff=True), ".tif"),
    Kind("white is 0", as_values(0, 255, 255), BINARY, (0, 1, 1), save_pillow(), ".TIF"),
    Kind("gray as RGB", rgb(BLACK, WHITE, WHITE), BINARY, (0, 1, 1), save_color, ".PNG"),
    Kind("gray as RGBA", rgb((0, 0, 0, 255), *[(2, 2, 2, 255)] * 2), BINARY, (0, 1, 1), save_color),
    Kind("BMP", as_values(0, 1, 2), THREE, (1, 2, 3), ending=".bmp"),
    Kind("0, 1 and void", as_values(0, 1, 255), BINARY, (0, 1, VOID)),
    Kind("indices and void", as_values(0, 2, 255), BINARY, (0, 1, VOID),
        table="id,name\n0,bg\n2,foreground\n"),
    Kind("ids", as_values(0, 10, 200), ("class 0", "class 10", "class 200"), (1, 2, 3)),
    Kind("ids of some", as_values(0, 10, 20), ("class 0", "class 10", "class 20"), (1, 2, 3), some=(2,)),
    Kind("no 0", as_values(1, 2, 3), ("class 1", "class 2", "class 3"), (1, 2, 3)),
    # Palettes.
    Kind("VOC", as_values(0, 1, 7), ("class 0", "class 1", "class 7"), (1, 2, 3), save_palette(*VOC),
        some=(1,)),
    Kind("white class", as_values(0, 1, 2), THREE, (1, 2, 3), save_palette(BLACK, WHITE, RED), some=(2,)),
    Kind("2-bit palette", as_values(0, 1, 2), THREE, (1, 2, 3), save_palette(BLACK, WHITE, RED, bits=2)),
    Kind("tRNS", as_values(0, 1, 2), THREE, (1, 2, 3), save_palette(BLACK, WHITE, RED, transparency=0)),
    Kind("palette TIFF", as_values(0, 1, 2), THREE, (1, 2, 3), save_palette(BLACK, WHITE, RED), ".tif"),
    Kind("palette BMP", as_values(0, 1, 2), THREE, (1, 2, 3), save_palette(BLACK, WHITE, RED), ".bmp"),
    Kind("palette of grays", as_values(0, 1, 2), THREE, (1, 2, 3), save_palette(BLACK, GRAY, WHITE)),
    Kind("inverting", as_values(255, 0, 0), BINARY, (0, 1, 1), save_palette(*INVERTED)),
    Kind("white first", as_values(1, 0, 0), BINARY, (0, 1, 1), save_palette(WHITE, BLACK)),
    Kind("palette, void", as_values(0, 1, 255), BINARY, (0, 1, VOID), save_palette(*VOC, *[WHITE] * 248)),
    Kind(
        "palette, named", as_values(0, 1, 2), NAMED, (1, 2, 3), save_palette(BLACK, WHITE, RED),
        table="name\nbackground\ncat\ndog\n",
    ),
    Kind(
        "palette in another order", as_values(0, 1, 2), NAMED, (1, 3, 2), save_palette(BLACK, RED, GREEN),
        table="name,color\nbackground,0 0 0\ncat,0 200 0\ndog,200 0 0\n",
    ),
    # Colors.
    Kind(
        "r, g, b", rgb(BLACK, RED, GREEN), NAMED, (1, 2, 3), save_color,
        table="name,r,g,b\nbackground,0,0,0\ncat,200,0,0\ndog,0,200,0\n",
    ),
    Kind(
        "on transparent ground", rgba(BLACK, RED, GREEN), NAMED, (1, 2, 3), save_color,
        table="name,color\nbackground,#000000\ncat,#c80000\ndog,#00c800\n",
    ),
    Kind(
        "Void", rgb(BLACK, RED, WHITE), ("bg", "cat"), (1, 2, VOID), save_color,
        table="name,colour\nbg,#000000\ncat,#c80000\nVOID,#ffffff\n",
    ),
    Kind(
        "colors of things only", rgb(BLACK, RED, GREEN), NAMED, (1, 2, 3), save_color,
        table="name,color\ncat,#c80000\ndog,#00c800\n",
    ),
    Kind("colors as binary", rgb(BLACK, RED, GREEN), BINARY, (0, 1, 1), save_color, kind="binary"),
    Kind(
        "colors of 16 bits", lambda label: rgb(BLACK, RED, GREEN)(label).astype(np.uint16) * 257, NAMED,
        (1, 2, 3), save_color, table="name,color\nbackground,#000000\ncat,#c80000\ndog,#00c800\n",
    ),
    # What the table says before what is usual.
    Kind(
        "white background", as_values(255, 0, 0), ("cell",), (0, 1, 1),
        table="name,colour\nbackground,#ffffff\ncell,#000000\n",
    ),
    Kind(
        "white background, last line", as_values(255, 0, 0), ("cell",), (0, 1, 1),
        table="name,colour\ncell,#000000\nbackground,#ffffff\n",
    ),
    Kind("255 is background", as_values(255, 0, 0), ("cell",), (0, 1, 1), table="id,name\n255,bg\n0,cell\n"),
    Kind("one name", as_values(0, 255, 255), ("cell",), (0, 1, 1), table="name\ncell\n"),
    Kind("two names", as_values(0, 255, 255), ("cell",), (0, 1, 1), table="name\nbackground\ncell\n"),
    Kind("background last", as_values(1, 0, 0), ("cell",), (0, 1, 1), table="name\ncell\nbackground\n"),
    Kind("void line", as_values(0, 1, 2), ("sky", "tree", "car"), (1, VOID, 2),
        table="name\nsky\nvoid\ntree\ncar\n"),
    Kind("void first", as_values(1, 2, 0), ("tree",), (0, 1, VOID), table="name\nVoid\nsky\ntree\n"),
    Kind("void by id", as_values(0, 1, 255), ("cell",), (0, 1, VOID),
        table="id,name\n0,bg\n1,cell\n255,void\n"),
    Kind(
        "ids by name", as_values(0, 10, 200), NAMED, (1, 2, 3),
        table="\ufeffname;value\nbackground;0\ncat;10\ndog;200\n",
    ),
    Kind("ids of things", as_values(0, 1, 2), NAMED, (1, 2, 3), table="id,name\n1,cat\n2,dog\n"),
    Kind("a thing like a ground", as_values(0, 1, 2), ("background", "road", "car"), (1, 2, 3),
        table="id,name\n1,road\n2,car\n"),
    Kind("things only", as_values(0, 1, 2), NAMED, (1, 2, 3), table="name\ncat\ndog\n"),
    Kind("the first thing only", as_values(0, 1, 1), NAMED, (1, 2, 2), table="name\ncat\ndog\n"),
    # What the person says.
    Kind("objects as binary", as_values(0, 7, 9), BINARY, (0, 1, 1), kind="binary"),
    Kind("0 and 1 as classes", as_values(0, 1, 1), THREE[:2], (1, 2, 2), kind="multiclass"),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_read_is_what_was_meant(kind, tmp_path):
    scenes = {stem: scene(i) for i, stem in enumerate(STEMS)}
    for stem in STEMS[::2]:
        scenes[stem][np.isin(scenes[stem], kind.some)] = 0
    masks = {stem: kind.make(label) for stem, label in scenes.items()}
    raw = make_folder(tmp_path, masks, kind.save, kind.ending, kind.table)
    reader, labels = read_folder(raw, kind.kind)
    assert reader.spec.classes[reader.spec.reserved :] == kind.classes
    for stem, label in scenes.items():
        assert (labels[stem] == np.array(kind.labels, np.uint8)[label]).all()


def test_soft_edges_of_a_white_background(tmp_path):
    hard = {stem: np.where(scene(i), 0, 255).astype(np.uint8) for i, stem in enumerate(STEMS)}
    soft = {stem: cv2.GaussianBlur(mask, (3, 3), 0) for stem, mask in hard.items()}
    raw = make_folder(tmp_path, soft, table="name,color\nbackground,#ffffff\ncell,#000000\n")
    reader, labels = read_folder(raw)
    assert reader.spec.classes == ("cell",)
    assert all((labels[stem] == (soft[stem] <= 127)).all() for stem in STEMS)


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("palette", ["palette", "8 bits", "16 bits", "colors"])
def test_masks_are_turned_as_their_files_say(ending, orientation, palette, tmp_path):
    from PIL import ImageOps

    stored = scene(0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    masks = {}
    save_noise(tmp_path / "x.png", 0)
    for stem in STEMS:
        picture = Image.fromarray(stored.astype(np.uint16) if palette == "16 bits" else stored)
        picture = picture.convert("RGB") if palette == "colors" else picture
        if palette == "palette":
            picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        options = {"exif": exif} if ending == ".png" else {"tiffinfo": {0x0112: orientation}}
        path = tmp_path / "masks" / f"{stem}{ending}"
        path.parent.mkdir(exist_ok=True)
        picture.save(path, **options)
        # Pillow's own turning is the reference.
        turned = Image.fromarray(stored)
        turned.getexif()[0x0112] = orientation
        masks[stem] = np.asarray(ImageOps.exif_transpose(turned))
        (tmp_path / "images").mkdir(exist_ok=True)
        save_noise(tmp_path / "images" / f"{stem}.png", len(masks), masks[stem].shape)
    labels = read_folder(tmp_path)[1]
    assert all((labels[stem] == masks[stem] + 1).all() for stem in STEMS)


def plain(values=(0, 255, 255)):
    return {stem: as_values(*values)(scene(i)) for i, stem in enumerate(STEMS)}


def clear(label):
    """Color under transparent pixels, so that what they are cannot be told."""
    return np.dstack([np.full((*SIZE, 3), 90, np.uint8), np.where(label, 255, 0).astype(np.uint8)])


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Masks beside sound ones of 0 and 255 (`others`), and what is said."""

    name: str
    mask: np.ndarray
    code: ErrorCode
    field: str = "masks/c.tif"
    save: Save = save_gray
    ending: str = ".tif"
    others: tuple[int, ...] = (0, 255, 255)
    table: str = ""


REFUSALS = [
    Refusal("pages", np.stack([scene(i) for i in range(3)]), ErrorCode.UNSUPPORTED,
        save=save_tiff(photometric="minisblack")),
    Refusal("ImageJ's stack", np.stack([scene(i) for i in range(3)]), ErrorCode.UNSUPPORTED,
        save=save_tiff(imagej=True)),
    Refusal("probabilities", scene(0) / np.float32(4), ErrorCode.WRONG_TYPE),
    Refusal("NaN", np.full(SIZE, np.nan, np.float32), ErrorCode.WRONG_TYPE),
    Refusal("negative", -scene(0).astype(np.int16), ErrorCode.OUT_OF_RANGE, save=save_tiff()),
    Refusal("mask in alpha", clear(scene(0)), ErrorCode.UNSUPPORTED, "masks/c.png", save_color, ".png"),
    Refusal("two channels", np.dstack([scene(0), scene(1)]), ErrorCode.WRONG_TYPE,
        save=save_tiff(planarconfig="contig", photometric="minisblack", extrasamples=[0])),
    Refusal("JPEG inside", scene(0) * 100, ErrorCode.UNSUPPORTED, "masks/c.png", save_pillow(format="JPEG"),
        ".png"),
    Refusal("JPEG", scene(0) * 100, ErrorCode.UNSUPPORTED, "masks/c.jpg", save_pillow(), ".jpg"),
    Refusal("turned", np.rot90(scene(0)) * 100, ErrorCode.CONFLICT),
    Refusal("0 and 1 beside 0 and 255", scene(0, 1), ErrorCode.CONFLICT),
    Refusal("0 and 255 beside 0, 1 and void", scene(0, 1) * 255, ErrorCode.CONFLICT, others=(0, 1, 255)),
    Refusal("255 alone beside 0, 1 and void", np.full(SIZE, 255, np.uint8), ErrorCode.CONFLICT, others=(0,
        1, 255)),
    Refusal(
        "0 and 255 beside 0, 1 and void, named", scene(0, 1) * 255, ErrorCode.CONFLICT, others=(0, 1, 255),
        table="name\nbackground\ncell\n",
    ),
    Refusal("0 and 255 beside classes", scene(0, 1) * 255, ErrorCode.CONFLICT, others=(0, 1, 2)),
    Refusal("value that is no line", scene(0) * 3, ErrorCode.OUT_OF_RANGE, others=(0, 1, 2),
        table="name\nbg\na\nb\n"),
    Refusal("a color nearly in the table", rgb(BLACK, (200, 0, 1), GREEN)(scene(0)), ErrorCode.OUT_OF_RANGE,
        save=save_color, others=(0, 0, 0), table="name,color\nbg,#000000\na,#c80000\nb,#00c800\n"),
    Refusal("colors without a table", rgb(BLACK, RED, GREEN)(scene(0)), ErrorCode.MISSING, save=save_color),
    Refusal("a photograph", np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8),
        ErrorCode.OUT_OF_RANGE),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_what_cannot_be_told_is_refused(case, tmp_path):
    raw = make_folder(tmp_path, plain(case.others), table=case.table)
    (raw / "masks" / "c.png").unlink()
    case.save(raw / "masks" / f"c{case.ending}", case.mask)
    assert_error(list_problems(raw)[0], case.code, raw / case.field)


@pytest.mark.parametrize("masks", ["first", "each other"])
def test_palettes_that_contradict_each_other(masks, tmp_path):
    label = {stem: scene(i) for i, stem in enumerate(STEMS)}
    raw = make_folder(tmp_path, label, save_palette(BLACK, RED, GREEN))
    save_palette(BLACK, GREEN, RED)(raw / "masks" / "b.png", label["b"])
    assert_error(list_problems(raw)[0], ErrorCode.CONFLICT, raw / "masks" / "b.png")
    (raw / "classes.csv").write_text("name,color\nbackground,0 0 0\ncat,200 0 0\ndog,0 200 0\n")
    labels = read_folder(raw)[1]
    assert (labels["a"] == label["a"] + 1).all()
    assert (labels["b"] == np.array([1, 3, 2])[label["b"]]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_numbers_of_objects_are_no_classes(dtype, tmp_path):
    masks = {stem: numbered(2 + i).astype(dtype) for i, stem in enumerate(STEMS)}
    raw = make_folder(tmp_path, masks, save_tiff(), ".tif")
    assert_error(list_problems(raw)[0], ErrorCode.CONFLICT, raw / "masks" / "f.tif")
    labels = read_folder(raw, "binary")[1]
    assert all((labels[stem] == (masks[stem] > 0)).all() for stem in STEMS)
    labels = read_folder(raw, "multiclass")[1]
    assert all((labels[stem] == masks[stem] + 1).all() for stem in STEMS)


def test_as_many_objects_in_each_mask_are_noted(tmp_path):
    raw = make_folder(tmp_path, {stem: numbered(3).astype(np.uint8) for stem in STEMS})
    reader, _ = read_folder(raw)
    assert reader.spec.kind == "multiclass" and "data.label_kind=binary" in reader.meaning.notes[0]


def test_what_is_void_is_said_by_the_person_or_the_table(tmp_path):
    masks = plain((0, 1, 255)) | {"c": scene(2, 1) * 255}
    raw = make_folder(tmp_path, masks)
    expected = np.where(masks["c"], VOID, 1)
    assert (read_folder(raw, "multiclass")[1]["c"] == expected).all()
    assert (read_folder(raw, "binary")[1]["c"] == (masks["c"] > 0)).all()
    (raw / "classes.csv").write_text("id,name\n0,bg\n1,cell\n255,void\n")
    assert (read_folder(raw)[1]["c"] == np.where(masks["c"], VOID, 0)).all()


def test_a_mask_of_void_alone_among_classes(tmp_path):
    masks = plain((0, 1, 2)) | {"c": np.full(SIZE, 255, np.uint8), "d": as_values(0, 2, 255)(scene(3))}
    reader, labels = read_folder(make_folder(tmp_path, masks))
    assert reader.spec.kind == "multiclass" and (labels["c"] == VOID).all()


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("name,id\nbg,0\ncell,0\n", ErrorCode.CONFLICT),
        ("name,id\nbg,0\ncell,\n", ErrorCode.MISSING),
        ("name,id\nbg,0\ncell,one\n", ErrorCode.MALFORMED),
        ("name,r,g,b\nbg,0,0,0\ncell,1,2\n", ErrorCode.MALFORMED),
        ("name,color,colour\nbg,#000000,#000001\n", ErrorCode.MALFORMED),
        ("name\nvoid\nVoid\ncell\n", ErrorCode.CONFLICT),
        ("name,color\n,#000000\n", ErrorCode.OUT_OF_RANGE),
        ("name,color\n", ErrorCode.OUT_OF_RANGE),
        ("name\nvoid\n", ErrorCode.OUT_OF_RANGE),
        ("name\ncell\nvoid\n", ErrorCode.MISSING),
    ],
)  # fmt: skip
def test_tables_that_are_wrong(table, code, tmp_path):
    raw = make_folder(tmp_path, plain((0, 1, 1)), table=table)
    found = {(problem.code, Path(problem.field).name) for problem in list_problems(raw)}
    assert (code, "classes.csv") in found


@pytest.mark.parametrize(
    ("images", "masks", "pairs"),
    [
        (["car_1"], ["car_1_mask"], {"car_1_mask": "car_1"}),
        (["x", "y"], ["x_cp_masks", "y"], {"x_cp_masks": "x", "y": "y"}),
        (["1_sat", "2_sat"], ["1_mask", "2_mask"], {"1_mask": "1_sat", "2_mask": "2_sat"}),
        (["image_001"], ["mask_001"], {"mask_001": "image_001"}),
        (["b_leftImg8bit"], ["b_gtFine_labelIds"], {"b_gtFine_labelIds": "b_leftImg8bit"}),
        (["ISIC_1"], ["ISIC_1_segmentation"], {"ISIC_1_segmentation": "ISIC_1"}),
        # Two masks of one image, a number more, and a word that means nothing.
        (["a"], ["a_mask", "a_label"], {}),
        (["frame_1"], ["frame_10", "frame_1_2", "frame_1_b"], {}),
        (["a"], ["a", "a_mask"], {"a": "a"}),
    ],
)
def test_names_that_differ_by_a_word(images, masks, pairs):
    assert pair_names(images, masks) == pairs


def test_masks_whose_names_have_a_word_more(tmp_path):
    raw = make_folder(tmp_path, plain())
    for stem in STEMS:
        (raw / "masks" / f"{stem}.png").rename(raw / "masks" / f"{stem}_mask.png")
    reader, labels = read_folder(raw)
    assert all((labels[stem] == (scene(i) > 0)).all() for i, stem in enumerate(STEMS))
    assert any("a_mask.png" in note for note in reader.files.notes)


def test_label_studio_s_names_are_one_line(tmp_path):
    raw = make_folder(tmp_path, plain())
    for i, stem in enumerate(STEMS):
        for k in range(2):
            path = raw / "masks" / f"task-{i}-annotation-{i + 9}-by-1-tag-cell-{k}.png"
            path.write_bytes((raw / "masks" / f"{stem}.png").read_bytes())
    problems = list_problems(raw)
    assert_error(
        problems[0], ErrorCode.UNSUPPORTED, raw / "masks" / "task-0-annotation-9-by-1-tag-cell-0.png"
    )
    assert len(problems) == 1


def test_a_folder_per_image_is_one_line(tmp_path):
    raw = make_folder(tmp_path, plain())
    for stem in STEMS:
        (raw / "masks" / stem).mkdir()
        (raw / "masks" / f"{stem}.png").rename(raw / "masks" / stem / "object_1.png")
    problems = list_problems(raw)
    assert_error(problems[0], ErrorCode.UNSUPPORTED, raw / "masks")
    assert len(problems) == 1


def test_a_file_that_may_not_be_read_is_one_problem(tmp_path, monkeypatch):
    raw = make_folder(tmp_path, plain())
    read = Path.read_bytes

    def refuse(path):
        if path.parts[-2:] == ("masks", "b.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    problems = list_problems(raw)
    assert_error(problems[0], ErrorCode.UNREADABLE, raw / "masks" / "b.png")
    assert len(problems) == 1


def outlines(*shapes, size=SIZE):
    content = {"version": "5.5", "shapes": list(shapes), "imageHeight": size[0], "imageWidth": size[1]}
    return json.dumps(content)


def box(label, left, top, right, bottom, kind="polygon"):
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    points = corners if kind == "polygon" else corners[::2]
    return {"label": label, "points": points, "shape_type": kind}


def write_outlines(raw, texts):
    make_folder(raw, plain())
    for stem in STEMS:
        (raw / "masks" / f"{stem}.png").unlink()
    for stem, text in texts.items():
        (raw / "masks" / f"{stem}.json").write_text(text)
    return raw


@pytest.mark.parametrize("kind", ["polygon", "rectangle"])
def test_labelme(kind, tmp_path):
    one = outlines(
        box("dog", 2, 3, 6, 8, kind), box("cat", 4, 5, 9, 9, kind), box("void", 20, 0, 22, 2, kind)
    )
    texts = dict.fromkeys(STEMS[1:], one) | {"a": outlines()}
    raw = write_outlines(tmp_path, texts)
    reader, labels = read_folder(raw)
    expected = np.ones(SIZE, np.uint8)
    expected[3:9, 2:7] = 3
    expected[5:10, 4:10] = 2  # drawn later
    expected[0:3, 20:23] = VOID
    assert reader.spec.classes[1:] == NAMED
    assert (labels["b"] == expected).all() and (labels["a"] == 1).all()
    (raw / "classes.csv").write_text("name\nbackground\ndog\ncat\n")
    assert (read_folder(raw)[1]["b"] == np.array([0, 1, 3, 2, *[VOID] * 252], np.uint8)[expected]).all()
    assert (read_folder(raw, "binary")[1]["b"] == np.where(expected == VOID, VOID, expected > 1)).all()


def test_a_label_of_labelme_is_no_ground_for_its_name(tmp_path):
    raw = write_outlines(tmp_path, dict.fromkeys(STEMS, outlines(box("water", 2, 3, 6, 8))))
    reader, labels = read_folder(raw)
    assert reader.spec.classes == ("water",) and labels["a"].sum() == 30


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", ErrorCode.UNREADABLE),
        ("[" * 5000, ErrorCode.UNREADABLE),
        ("[]", ErrorCode.UNSUPPORTED),
        ('{"images": [], "annotations": []}', ErrorCode.UNSUPPORTED),
        (outlines(box("cat", 1, 1, 5, 5, "linestrip")), ErrorCode.UNSUPPORTED),
        (outlines({"label": "cat", "points": [[1, 1]]}), ErrorCode.MALFORMED),
        (outlines({"label": 3, "points": [[1, 1], [5, 1], [5, 5]]}), ErrorCode.MALFORMED),
        (outlines(box("cat", 1, 1, 5, 5), size=(9, 9)), ErrorCode.CONFLICT),
        (outlines(box("cow", 1, 1, 5, 5)), ErrorCode.UNKNOWN),
    ],
)
def test_labelme_files_that_are_wrong(text, code, tmp_path):
    raw = write_outlines(tmp_path, dict.fromkeys(STEMS, outlines(box("cat", 1, 1, 5, 5))) | {"c": text})
    (raw / "classes.csv").write_text("name\nbackground\ncat\n")
    assert_error(list_problems(raw)[0], code, raw / "masks" / "c.json")


def notes_of(raw, page):
    text, problems = check.check_folder(settings(raw), page, lambda samples, _: samples)
    return text, problems


def test_inverted_masks_are_noted(tmp_path):
    masks = {stem: scene(i, 1) ^ (i % 2) for i, stem in enumerate(STEMS)}
    text, problems = notes_of(make_folder(tmp_path, masks), tmp_path / "page.png")
    assert not problems and "may be inverted against" in text
    text, _ = notes_of(make_folder(tmp_path, plain()), tmp_path / "page.png")
    assert "may be inverted" not in text


def test_classes_that_no_labeled_image_shows_are_noted(tmp_path):
    masks = {stem: scene(i, 2 if stem in "ab" else 1) for i, stem in enumerate(STEMS)}
    raw = make_folder(tmp_path, masks)
    (raw / "splits.csv").write_text("image,split\na,test\nb,val\n")
    assert (
        "class 'class 2' is in val and test but in no labeled image" in notes_of(raw, tmp_path / "p.png")[0]
    )


def test_one_mask_and_three(tmp_path):
    raw = make_folder(tmp_path, plain())
    for stem in "bcdef":
        (raw / "masks" / f"{stem}.png").unlink()
    (problem,) = list_problems(raw)
    assert problem.code is ErrorCode.TOO_FEW and "add masks: at least 2" in str(problem)
    for stem in "bc":
        save_gray(raw / "masks" / f"{stem}.png", plain()[stem])
    for stem in "def":
        (raw / "images" / f"{stem}.png").unlink()
    text, problems = notes_of(raw, tmp_path / "page.png")
    assert not problems and "supervised methods (ldt, aldt) work" in text and "folds" in text


def test_settings_that_cannot_be_packed_are_a_problem_of_the_check(tmp_path):
    raw = make_folder(tmp_path, plain())
    for changes, field in (({"height": 100}, "data.height"), ({"tile_overlap": 2.0}, "data.tile_overlap")):
        data = dataclasses.replace(settings(raw), **changes)
        _, problems = check.check_folder(data, tmp_path / "page.png", lambda samples, _: samples)
        assert [problem.field for problem in problems] == [field]


def test_sizes_are_said_where_the_masks_kind_is_not_clear(tmp_path):
    raw = make_folder(tmp_path, plain() | {"c": scene(2, 1)})
    text, problems = notes_of(raw, tmp_path / "page.png")
    assert problems and "sizes (w x h): 32x24 (6 images)" in text


def with_gaps(i: int) -> np.ndarray:
    """Objects of one piece whose numbers have gaps, where some were deleted."""
    numbers = ((1, 2, 4), (1, 3, 5), (2, 3, 4), (1, 2, 3), (1, 2, 5), (2, 3, 5))[i]
    return np.array([0, *numbers], np.uint8)[numbered(3)]


def blurred(label: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(label * np.uint8(200), (3, 3), 0)


def with_nodata(value: int) -> Save:
    return save_tiff(extratags=[(42113, 2, 0, str(value), True)])


@pytest.mark.parametrize(
    ("make", "save", "ending", "table", "words"),
    [
        (with_gaps, save_gray, ".png", "", "as objects are numbered"),
        (lambda i: scene(i, 1) * 255, save_tiff(photometric="miniswhite"), ".tif", "", "white is 0"),
        (lambda i: scene(i, 1) > 0, save_tiff(), ".tif", "", "white is 0"),
        (lambda i: 1 - scene(i, 1), save_palette(RED, BLACK), ".png", "", "is black"),
        (lambda i: scene(i) * 5, with_nodata(10), ".tif", "", "value 10 has no data"),
        (lambda i: scene(i, 1) * 255, with_nodata(255), ".tif", "", "value 255 has no data"),
        (lambda i: blurred(scene(i, 1)), save_gray, ".png", "", "smoothed or resized"),
        (lambda i: scene(i, 1) * 255, save_gray, ".png", "name,id\nbg,0\ncell,1\n", "no class but 0"),
        (lambda i: np.where(scene(i, 1), np.inf, 0).astype("f4"), save_tiff(), ".tif", "", "NaN, inf"),
    ],
    ids=["gaps", "white is 0", "bool", "black class", "nodata", "nodata 255", "soft", "ids", "inf"],
)
def test_what_has_two_readings_is_refused_in_one_line(tmp_path, make, save, ending, table, words):
    raw = make_folder(tmp_path, {stem: make(i) for i, stem in enumerate(STEMS)}, save, ending, table)
    (problem,) = list_problems(raw)
    assert words in str(problem)


def test_white_is_zero_is_read_as_shown_and_said_where_foreground_is_small(tmp_path):
    save = save_tiff(photometric="miniswhite")
    raw = make_folder(tmp_path, {stem: 255 - scene(i, 1) * 255 for i, stem in enumerate(STEMS)}, save, ".tif")
    reader, labels = read_folder(raw)
    assert "white is 0" in reader.meaning.evidence
    assert all((labels[stem] == scene(i, 1)).all() for i, stem in enumerate(STEMS))


def test_a_table_says_which_of_black_and_white_is_foreground(tmp_path):
    save = save_tiff(photometric="miniswhite")
    masks = {stem: scene(i, 1) * 255 for i, stem in enumerate(STEMS)}
    raw = make_folder(tmp_path, masks, save, ".tif", "name,id\ncell,0\nbackground,255\n")
    _, labels = read_folder(raw)
    assert all((labels[stem] == scene(i, 1)).all() for i, stem in enumerate(STEMS))


def test_palette_and_gray_masks_of_0_and_255_together_are_refused(tmp_path):
    raw = make_folder(tmp_path, {stem: scene(i, 1) * 255 for i, stem in enumerate(STEMS)})
    save_palette(BLACK, RED)(raw / "masks" / "a.png", scene(0, 1))
    (problem,) = list_problems(raw)
    assert "whether 255 is void" in str(problem)


def test_masks_beside_images_are_no_images(tmp_path):
    raw = make_folder(tmp_path, {stem: scene(i, 1) for i, stem in enumerate(STEMS)})
    save_gray(raw / "images" / "a_cp_masks.png", scene(0, 1))
    (problem,) = list_problems(raw)
    assert_error(problem, ErrorCode.CONFLICT, "images/a_cp_masks.png")


def test_a_class_whose_name_says_leave_out_is_noted(tmp_path):
    table = "name,id\nbg,0\ncat,1\nignore,2\n"
    raw = make_folder(tmp_path, {stem: scene(i) for i, stem in enumerate(STEMS)}, table=table)
    reader, _ = read_folder(raw)
    assert "'ignore' is a class" in reader.meaning.notes[-1]


def test_names_of_ome_files_of_other_case_and_of_composed_accents_belong_together():
    assert pair_names(["a.ome", "B", "e\u0301"], ["a", "b", "\u00e9"]) == {
        "a": "a.ome", "b": "B", "\u00e9": "e\u0301",
    }  # fmt: skip


def test_what_is_wrong_with_all_masks_alike_is_one_line(tmp_path):
    raw = make_folder(tmp_path, {stem: scene(i, 1) for i, stem in enumerate(STEMS)})
    for stem in STEMS:
        save_gray(raw / "masks" / f"{stem}.png", np.kron(scene(0, 1), np.ones((2, 2), np.uint8)))
    _, (problem,) = check.check_folder(settings(raw), tmp_path / "page.png", lambda samples, _: samples)
    assert "5 more" in str(problem)
