"""Any small folder either reads into labels of its classes or is complained about in one line."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
from folders import write
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from imjax.data.folder.reader import Folder
from imjax.data.folder.tables import SPLITS, read_classes, read_splits
from imjax.data.spec import VOID
from imjax.errors import UserError

few = settings(derandomize=True, deadline=None, max_examples=40, database=None)

SHAPES = st.sampled_from([(1, 1), (3, 2), (4, 4), (4, 4, 3), (4, 4, 4)])
# The values that mean something to the reader, and any other.
BYTES = st.sampled_from([0, 1, 2, 127, 128, 254, 255]) | st.integers(0, 255)
WORDS = BYTES | st.integers(0, 65_535)


def masks():
    eight = SHAPES.flatmap(lambda shape: arrays.arrays(np.uint8, shape, elements=BYTES))
    sixteen = SHAPES.flatmap(lambda shape: arrays.arrays(np.uint16, shape, elements=WORDS))
    return st.lists(eight | sixteen, min_size=1, max_size=4)


TABLES = st.none() | st.sampled_from(
    ["name\na\nb\n", "name,color\na,#000000\nb,#ffffff\n", "name,color\na,0 0 0\nvoid,255 255 255\n"]
)
KINDS = st.sampled_from(["auto", "binary", "multiclass", "multilabel"])


@few
@given(masks(), TABLES, KINDS, st.booleans())
def test_masks_read_into_labels_or_are_complained_about(found, table, kind, same_size):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for i, mask in enumerate(found):
            size = mask.shape[:2] if same_size else (4, 4)
            write(root / "images" / f"{i}.png", np.zeros((*size, 3), np.uint8))
            write(root / "masks" / f"{i}.png", mask)
        if table is not None:
            (root / "classes.csv").write_text(table)
        try:
            reader = Folder(kind)
            loaded = [reader.load(sample) for part in reader.scan(root).values() for sample in part]
        except UserError as error:
            assert str(root) in str(error) and "\n" not in str(error)
            return
        spec = reader.spec
        allowed = {*range(int(spec.reserved), len(spec.classes)), VOID}
        if spec.kind != "multiclass":
            allowed = {0, 1, VOID}
        for image, label in loaded:
            assert image.shape[:2] == label.shape[:2] and label.dtype == np.uint8
            assert set(np.unique(label).tolist()) <= allowed


@few
@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*"]),
)
def test_any_bytes_as_a_mask_are_one_line(data, start):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write(root / "images" / "a.png", np.zeros((4, 4, 3), np.uint8))
        (root / "masks").mkdir()
        (root / "masks" / "a.tif").write_bytes(start + data)
        reader = Folder()
        with contextlib.suppress(UserError):
            reader.scan(root)
            try:
                _ = reader.spec
            except UserError as error:
                assert "a.tif" in str(error) or str(root / "masks") in str(error)
                assert "\n" not in str(error)
                raise


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=8) | st.sampled_from(
    ["a", "b", "void", "inconsistent", "#ff0000", "1 2 3", "256 0 0", "²", '"', "x,y", ""]
)
LINES = st.lists(st.lists(CELLS, max_size=3).map(",".join), max_size=5)
HEADS = st.sampled_from(["name,color", "name", "Name;Color", "color,name", "image,split", ""])


@few
@given(HEADS, LINES | st.binary(max_size=40))
def test_any_class_table_is_a_table_or_complaints(head, lines):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "classes.csv"
        rest = lines if isinstance(lines, bytes) else "\n".join(lines).encode()
        path.write_bytes(head.encode() + b"\n" + rest)
        problems: list[UserError] = []
        table = read_classes(path, problems.append)
        assert all(error.field == str(path) and "\n" not in str(error) for error in problems)
        assert table is not None or problems
        if table is not None:
            assert len(set(table.names)) == len(table.names) and all(table.names)
            assert len(table.colors) in (0, len(table.names)) and len(set(table.known)) == len(table.known)
            assert all(0 <= value <= 255 for color in table.known for value in color)


@few
@given(LINES | st.binary(max_size=40))
def test_any_split_table_is_a_table_or_complaints(lines):
    stems = {stem: Path(f"{stem}.png") for stem in ("a", "b", "1 2 3")}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "splits.csv"
        rest = lines if isinstance(lines, bytes) else "\n".join(f"{line},test" for line in lines).encode()
        path.write_bytes(b"image,split\n" + rest)
        problems: list[UserError] = []
        found = read_splits(path, stems, problems.append)
        assert found is not None and set(found) <= set(stems) and set(found.values()) <= set(SPLITS)
        assert all(error.field == str(path) and "\n" not in str(error) for error in problems)
