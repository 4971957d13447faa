"""Any folder of masks: what is read equals what was written, or a refusal names a file; no traceback."""

from __future__ import annotations

import dataclasses
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_folders import (
    STEMS,
    Save,
    list_problems,
    make_folder,
    save_few_bits,
    save_gray,
    save_palette,
    save_tiff,
)
from PIL import Image

from imjax.data.folder.mask_file import read_mask
from imjax.data.folder.reader import Folder
from imjax.data.spec import VOID
from imjax.errors import UserError

few = settings(derandomize=True, deadline=None, max_examples=25, database=None)
PALETTE = tuple(((37 * i) % 256, (101 * i) % 256, (59 * i) % 256) for i in range(256))


@dataclasses.dataclass(frozen=True)
class File:
    """A kind of file, and which numbers it can hold."""

    save: Save
    ending: str
    dtype: type
    most: int


FILES = [
    File(save_gray, ".png", np.uint8, 255),
    File(save_gray, ".bmp", np.uint8, 255),
    File(save_gray, ".png", np.uint16, 65535),
    File(save_tiff(), ".tif", np.uint16, 65535),
    File(save_tiff(), ".tif", np.int32, 70000),
    File(save_tiff(bigtiff=True), ".tiff", np.float32, 65535),
    File(save_palette(*PALETTE), ".png", np.uint8, 255),
    File(save_palette(*PALETTE), ".tif", np.uint8, 255),
    File(save_few_bits(4), ".png", np.uint8, 15),
]
VALUES = st.sampled_from([0, 1, 2, 3, 7, 10, 127, 128, 200, 254, 255, 256, 65535]) | st.integers(0, 70_000)


@st.composite
def meant(draw):
    """A kind of file, the value of each class in it, and labels of six masks (index of the class)."""
    file = draw(st.sampled_from(FILES))
    fitting = VALUES.filter(lambda value: value <= file.most)
    values = draw(st.lists(fitting, min_size=2, max_size=5, unique=True))
    seed = draw(st.integers(0, 2**16))
    noise = np.random.default_rng(seed).integers(0, len(values), (len(STEMS), 6, 8))
    labels = np.repeat(np.repeat(noise, 4, 1), 4, 2)
    for i in range(len(STEMS)):
        if draw(st.booleans()):
            labels[i][labels[i] == draw(st.integers(0, len(values) - 1))] = 0
    return file, values, labels.astype(np.int64)


def write(raw: Path, file: File, values, labels, table: str = "", splits: str = "") -> Path:
    stored = np.array(values)[labels].astype(file.dtype)
    masks = dict(zip(STEMS, stored, strict=True))
    make_folder(raw, masks, file.save, file.ending, table)
    if splits:
        (raw / "splits.csv").write_text(splits)
    return raw


def read(raw: Path, kind: str = "auto"):
    reader = Folder(kind)
    samples = [sample for part in reader.scan(raw).values() for sample in part]
    return reader.spec, {sample.name: reader.load(sample)[1] for sample in samples}


def must_name_a_file(raw: Path, problems: list[UserError]) -> None:
    for problem in problems:
        assert Path(problem.field).is_relative_to(raw) or problem.field == "training"
        assert str(raw) in str(problem) or problem.field == "training"


@few
@given(meant(), st.booleans(), st.data())
def test_values_that_a_table_names_are_read_as_it_says(found, has_void, data):
    file, values, labels = found
    names = [f"c{i}" for i in range(len(values))]
    if has_void:
        void = data.draw(st.sampled_from(["void", "Void", "VOID"]))
        names[data.draw(st.integers(0, len(values) - 1))] = void
    lines = [f"{name},{value}" for name, value in zip(names, values, strict=True)]
    lines = data.draw(st.permutations(lines))
    with tempfile.TemporaryDirectory() as folder:
        raw = write(Path(folder), file, values, labels, "name,id\n" + "\n".join(lines) + "\n")
        if problems := list_problems(raw):
            # 65535 of 16 bits is read as 255; that is refused where 255 is another class.
            must_name_a_file(raw, problems)
            assert {255, 65535} & {*values} or len({*names} - {"void", "Void", "VOID"}) == 1
            return
        spec, read_labels = read(raw)
        for stem, label in zip(STEMS, labels, strict=True):
            for i, name in enumerate(names):
                got = {*read_labels[stem][label == i].tolist()}
                if name.casefold() == "void":
                    assert got <= {VOID}
                elif spec.kind == "multiclass":
                    assert got <= {spec.classes.index(name)}
                else:
                    assert got <= {int(name == spec.classes[0])}


@few
@given(meant(), st.sampled_from(["auto", "binary", "multiclass"]))
def test_values_without_a_table_are_told_apart_or_refused(found, kind):
    file, values, labels = found
    with tempfile.TemporaryDirectory() as folder:
        raw = write(Path(folder), file, values, labels)
        if problems := list_problems(raw, kind):
            must_name_a_file(raw, problems)
            return
        spec, read_labels = read(raw, kind)
        pairs = set()
        for stem, label in zip(STEMS, labels, strict=True):
            written = np.array(values)[label].ravel().tolist()
            pairs |= {*zip(written, read_labels[stem].ravel().tolist(), strict=True)}
        # Each value has one meaning.
        assert len({value for value, _ in pairs}) == len(pairs)
        used = {value: label for value, label in pairs}
        if kind == "binary":
            assert all(label == int(value != 0) for value, label in used.items()) or min(used.values()) == 0
        elif spec.kind == "multiclass":
            kept = [label for label in used.values() if label != VOID]
            assert len({*kept}) == len(kept)
            assert {value for value, label in used.items() if label == VOID} <= {255, 65535}
            # Names are those of the values.
            named = {value: spec.classes[label] for value, label in used.items() if label != VOID}
            assert named == {value: f"class {value}" for value in named}


SPLITS = st.lists(
    st.sampled_from(["labeled", "unlabeled", "val", "test", "train", ""]), min_size=6, max_size=6
)
TABLES = st.sampled_from(
    [
        "",
        "name\n",
        "name\nbg\ncell\n",
        "name\ncat\ndog\n",
        "name\nsky\nvoid\ntree\n",
        "name\ncell\n",
        "id,name\n0,bg\n1,cell\n255,void\n",
        "name,r,g,b\nbg,0,0,0\ncell,255,255,255\n",
        "name,color\nbg,#ffffff\ncell,#000000\n",
        "\ufeffName;Colour\nVoid;0 0 0\ncell;1 1 1\n",
        "name,name\na,b\n",
    ]
)


@few
@given(meant(), TABLES, SPLITS, st.sampled_from(["auto", "binary", "multiclass", "multilabel"]))
def test_the_check_and_packing_agree_and_no_input_gives_a_traceback(found, table, parts, kind):
    file, values, labels = found
    lines = [f"{stem},{part}" for stem, part in zip(STEMS, parts, strict=True) if part]
    with tempfile.TemporaryDirectory() as folder:
        splits = "image,split\n" + "\n".join(lines) + "\n" if len(lines) > 2 else ""
        raw = write(Path(folder), file, values, labels, table, splits)
        must_name_a_file(raw, list_problems(raw, kind))


def originals() -> list[tuple[bytes, str]]:
    """A file of each kind, whose header is to be damaged."""
    label = np.arange(48, dtype=np.uint8).reshape(6, 8) % 3
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for i, file in enumerate(FILES):
            path = Path(folder) / f"{i}{file.ending}"
            file.save(path, label.astype(file.dtype))
            found.append((path.read_bytes(), file.ending))
    for options in ({"compression": "tiff_lzw"}, {"compression": "tiff_deflate"}, {"tiffinfo": {0x0112: 6}}):
        buffer = io.BytesIO()
        Image.fromarray(label).save(buffer, "TIFF", **options)
        found.append((buffer.getvalue(), ".tif"))
    stack = io.BytesIO()
    tifffile.imwrite(stack, np.stack([label, label]), photometric="minisblack")
    return [*found, (stack.getvalue(), ".tif")]


def damage(data: bytes, generator: np.random.Generator) -> bytes:
    """Other bytes in the header, most of the time few; sometimes bytes cut out or put in."""
    damaged = bytearray(data)
    for _ in range(int(generator.geometric(0.4))):
        at = int(generator.integers(0, min(len(damaged), 400)))
        match generator.integers(6):
            case 0:
                del damaged[at : at + int(generator.integers(1, 5))]
            case 1:
                damaged[at:at] = generator.bytes(int(generator.integers(1, 5)))
            case _:
                damaged[at] = generator.choice([0, 1, 2, 3, 4, 8, 16, 127, 128, 255, generator.integers(256)])
        if not damaged:
            break
    return bytes(damaged)


def read_damaged(count: int, seed: int) -> dict[str, int]:
    """Read so many damaged files; what becomes of them. Anything but a `UserError` of one line is raised."""
    kinds, generator = originals(), np.random.default_rng(seed)
    became = {"read": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            data, ending = kinds[i % len(kinds)]
            path = Path(folder) / f"mask{ending}"
            path.write_bytes(damage(data, generator))
            try:
                read_mask(path)
                became["read"] += 1
            except UserError as error:
                assert error.field == str(path) and "\n" not in str(error)
                became["refused"] += 1
    return became


@pytest.mark.filterwarnings("ignore")
def test_damaged_headers_are_read_or_refused():
    became = read_damaged(300, 0)
    assert min(became.values()) > 20


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_ten_thousand_damaged_headers_are_read_or_refused():
    became = read_damaged(10_000, 1)
    assert sum(became.values()) == 10_000 and min(became.values()) > 500
    print(became)
