"""Folders of small images and masks, the latter of every kind of file that people have."""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

from imjax.config.schema import Data
from imjax.data import pack
from imjax.data.folder import check
from imjax.data.folder.reader import Folder
from imjax.data.spec import VOID
from imjax.errors import UserError

SIZE = (24, 32)
STEMS = ("a", "b", "c", "d", "e", "f")
Save = Callable[[Path, np.ndarray], object]


def scene(i: int, classes: int = 2) -> np.ndarray:
    """Labels 0..classes `[24, 32]`: two squares of each class on a ground of 0, elsewhere in each scene."""
    label = np.zeros(SIZE, np.uint8)
    for k in range(classes):
        for j in range(2):
            top, left = (5 * k + i % 4) % 18, (3 + 14 * j + 2 * i) % 27
            label[top + 1 : top + 4, left : left + 4] = k + 1
    return label


def numbered(count: int) -> np.ndarray:
    """`count` objects of one piece each, numbered from 1."""
    label = np.zeros(SIZE, np.int64)
    for k in range(count):
        label[2 + 7 * (k // 4) : 6 + 7 * (k // 4), 1 + 8 * (k % 4) : 6 + 8 * (k % 4)] = k + 1
    return label


def as_values(*values: int, dtype: type = np.uint8) -> Callable[[np.ndarray], np.ndarray]:
    """A label → these values in its place."""
    return lambda label: np.array(values, dtype)[label]


def save_gray(path: Path, array: np.ndarray) -> None:
    assert cv2.imwrite(str(path), array)


def save_color(path: Path, array: np.ndarray) -> None:
    assert cv2.imwrite(str(path), array[..., [2, 1, 0, *range(3, array.shape[2])]])


def save_tiff(**options) -> Save:
    return lambda path, array: tifffile.imwrite(path, array, **options)


def save_pillow(**options) -> Save:
    return lambda path, array: Image.fromarray(array).save(path, **options)


def save_palette(*colors: tuple[int, int, int], **options) -> Save:
    def save(path: Path, array: np.ndarray) -> None:
        picture = Image.fromarray(array.astype(np.uint8))
        picture.putpalette([level for color in colors for level in color])
        picture.save(path, **options)

    return save


def save_few_bits(bits: int) -> Save:
    """Gray PNG of 1, 2 or 4 bits, which no library writes."""

    def save(path: Path, array: np.ndarray) -> None:
        height, width = array.shape
        shifted = (array[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        rows = np.packbits(shifted.reshape(height, width * bits).astype(np.uint8), axis=1)
        lines = b"".join(b"\0" + row.tobytes() for row in rows)
        head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
        parts = [(b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
        chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))

    return save


def make_folder(
    raw: Path, masks: Mapping[str, np.ndarray], save: Save = save_gray, ending: str = ".png", table: str = ""
) -> Path:
    """Images of noise, masks that `save` writes, and `classes.csv` where there is a `table`."""
    for name in ("images", "masks"):
        (raw / name).mkdir(parents=True, exist_ok=True)
    for i, (stem, mask) in enumerate(masks.items()):
        save_noise(raw / "images" / f"{stem}.png", i, mask.shape[:2])
        save(raw / "masks" / f"{stem}{ending}", mask)
    if table:
        (raw / "classes.csv").write_text(table, encoding="utf-8")
    return raw


def save_noise(path: Path, seed: int, size: tuple[int, int] = SIZE) -> None:
    """An image in which there is nothing to see, unlike any other."""
    save_color(path, np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def read_folder(raw: Path, kind: str = "auto") -> tuple[Folder, dict[str, np.ndarray]]:
    """The reader after its scan and the label of each image, `check` and packing agreeing that all is "
    "well."""
    assert list_problems(raw, kind) == []
    reader = Folder(kind)
    samples = [sample for part in reader.scan(raw).values() for sample in part]
    return reader, {sample.name: reader.load(sample)[1] for sample in samples}


def settings(raw: Path, kind: str = "auto") -> Data:
    return Data(
        "folder", str(raw), height=16, width=16, label_fraction=1.0, val_fraction=0.2, label_kind=kind
    )


def list_problems(raw: Path, kind: str = "auto") -> list[UserError]:
    """What the check complains of; packing fails for the first of it, or not at all."""
    with tempfile.TemporaryDirectory() as name:
        text, problems = check.check_folder(settings(raw, kind), Path(name) / "page.png", lambda s, _: s)
        said = text.splitlines()
        assert ("problems: none" in said) == (not problems)
        assert all("\n" not in str(problem) for problem in problems)
        try:
            packed = pack.load_packed(pack.prepare_dataset(settings(raw, kind), Path(name) / "cache"))
        except UserError as error:
            assert problems, f"packing refuses what the check allows: {error}"
            assert str(error).startswith(str(problems[0]).removeprefix(f"{raw}: ")), (error, problems)
        else:
            assert not problems, f"packing allows what the check refuses: {problems}"
            assert any(line.startswith("labels: ") and packed.spec.kind in line for line in said)
            first = int(packed.spec.reserved)
            allowed = {*range(first, packed.spec.outputs), VOID}
            allowed |= {0, 1} if packed.spec.kind != "multiclass" else set()
            for split in packed.splits.values():
                assert {*np.unique(split.labels).tolist()} <= allowed
    return problems
