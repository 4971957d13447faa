"""Any image file is read as it was written, or refused in one line that names it; never a traceback."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_makers import (
    ORIENTATION,
    compressed_tiff,
    contiguous,
    frames,
    noise,
    opencv,
    pillow,
    tiff,
)

from imjax.config.schema import Data
from imjax.data import image_file, image_meaning, pack
from imjax.data.folder.check import check_folder
from imjax.data.image_meaning import ImageChoices, ImageReading
from imjax.errors import UserError

few = settings(derandomize=True, deadline=None, max_examples=60, database=None)

DTYPES = st.sampled_from(["uint8", "uint16", "int16", "int32", "uint32", "float32", "float64"])
SIZES = st.sampled_from([(1, 1), (1, 9), (7, 5), (33, 20)])
CONTAINERS = {
    "plain": {},
    "big_endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True},
    "tiles": {"tile": (16, 16)},
    "strips": {"rowsperstrip": 3},
    "deflate": {"compression": "zlib"},
}


@few
@given(st.integers(1, 7), DTYPES, SIZES, st.sampled_from(list(CONTAINERS)), st.integers(1, 8), st.booleans())
def test_tiffs_are_read_as_they_were_written(channels, dtype, size, container, orientation, planar):
    array = noise(*size, channels, dtype=dtype)
    options = {**CONTAINERS[container], "extratags": [(ORIENTATION, 3, 1, orientation, True)]}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.tif"
        if planar and channels > 1:
            stored = np.moveaxis(array, -1, 0)
            tiff(path, stored, photometric="minisblack", planarconfig="separate", **options)
        else:
            contiguous(path, array, **options)
        pixels, evidence = image_file.read_stored(path)
        assert pixels.dtype == dtype and (pixels[0] == array).all()
        found = evidence.channels, evidence.size, evidence.orientation, evidence.pages, evidence.alpha
        assert found == (channels, size, orientation, 1, "")


@few
@given(
    st.integers(1, 6),
    st.sampled_from(["uint8", "uint16", "float32"]),
    SIZES,
    st.sampled_from(["tiff_lzw", "packbits", "tiff_adobe_deflate", "zstd", "lzma"]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([0, 1, 4]),
)
def test_compressed_tiffs_are_read_as_they_were_written(channels, dtype, size, codec, predictor, rows):
    if (predictor == 3) != (dtype == "float32") and predictor != 1:
        return
    array = noise(*size, channels, dtype=dtype)
    with tempfile.TemporaryDirectory() as name:
        path = compressed_tiff(Path(name) / "a.tif", array, codec, predictor, rows)
        assert (image_file.read_stored(path)[0][0] == array).all()


@few
@given(
    st.sampled_from([".png", ".bmp", ".webp", ".tif"]),
    st.sampled_from(["gray", "rgb", "rgba"]),
    SIZES,
    st.integers(1, 8),
    st.booleans(),
)
def test_pictures_are_read_as_they_were_written(ending, colors, size, orientation, deep):
    if (deep and ending not in (".png", ".tif")) or (ending == ".webp" and colors == "gray"):
        return
    array = noise(*size, {"gray": 1, "rgb": 3, "rgba": 4}[colors], dtype="uint16" if deep else "uint8")
    stored = array[..., 0] if colors == "gray" else array
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"a{ending}"
        if deep or ending == ".bmp":
            opencv(path, stored)
            orientation = 1
        else:
            options = {"lossless": True, "exact": True} if ending == ".webp" else {}
            pillow(path, stored, orientation, **options)
        pixels, evidence = image_file.read_stored(path)
        assert (pixels[0, ..., : evidence.channels] == array[..., : evidence.channels]).all()
        assert evidence.orientation == orientation
        # OpenCV writes no tag that says what a fourth sample is, and a BMP has none.
        says = colors == "rgba" and (ending in (".png", ".webp") or not deep and ending == ".tif")
        assert bool(evidence.alpha) == says or ending == ".webp" and (array[..., 3:] == 255).all()
        assert evidence.channels == (
            1 if colors == "gray" else 4 if colors == "rgba" and not says else 3
        ) or (ending == ".bmp" and evidence.channels == 3)


def write_image(path: Path, kind: str, seed: int) -> None:
    """One file of a kind, 16 x 24 pixels."""
    flat, rgb = noise(16, 24, seed=seed), noise(16, 24, 3, seed=seed)
    {
        "gray": lambda: opencv(path.with_suffix(".png"), flat),
        "rgb": lambda: opencv(path.with_suffix(".png"), rgb),
        "rgba": lambda: pillow(path.with_suffix(".png"), noise(16, 24, 4, seed=seed)),
        "turned": lambda: pillow(path.with_suffix(".png"), rgb, 3),
        "deep": lambda: opencv(path.with_suffix(".png"), noise(16, 24, dtype="uint16", seed=seed)),
        "five": lambda: contiguous(path.with_suffix(".tif"), noise(16, 24, 5, seed=seed)),
        "real": lambda: contiguous(path.with_suffix(".tif"), noise(16, 24, 1, dtype="float32", seed=seed)),
        "stack": lambda: frames(path.with_suffix(".tif"), [flat, flat[::-1].copy()]),
        "hyper": lambda: tiff(path.with_suffix(".tif"), noise(2, 3, 16, 24, seed=seed), imagej=True,
                              metadata={"axes": "ZCYX"}),
        "marked": lambda: tiff(path.with_suffix(".tif"), np.where(flat > 200, -9999, flat).astype(np.int16)),
        "empty": lambda: path.with_suffix(".png").write_bytes(b""),
    }[kind]()  # fmt: skip


KINDS = ["gray", "rgb", "rgba", "turned", "deep", "five", "real", "stack", "hyper", "marked", "empty"]


@settings(few, max_examples=30)
@given(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
    st.builds(
        ImageChoices,
        pages=st.sampled_from(["auto", "channels", "slices", "max", "mean"]),
        alpha=st.sampled_from(["drop", "channel"]),
        orientation=st.sampled_from(["apply", "ignore"]),
        nodata=st.sampled_from(["auto", "none", "-9999"]),
        value_scaling=st.sampled_from(["image", "folder"]),
    ),
)
def test_check_and_packing_agree_about_any_folder(kinds, choices):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "raw"
        (root / "images").mkdir(parents=True)
        for i in range(6):
            write_image(root / "images" / f"{i}", kinds[i % len(kinds)], i)
            opencv(root / "masks" / f"{i}.png", np.where(noise(16, 24, seed=i) > 99, 255, 0).astype(np.uint8))
        data = Data(
            "folder", str(root), height=16, width=16, label_fraction=1.0, val_fraction=0.2,
            pages=choices.pages,
            alpha=choices.alpha, orientation=choices.orientation, nodata=choices.nodata,
            value_scaling=choices.value_scaling,
        )  # fmt: skip
        _, problems = check_folder(data, Path(name) / "sheet.png", lambda samples, what: samples)
        assert all("\n" not in str(problem) and problem.field for problem in problems)
        try:
            packed = pack.load_packed(pack.prepare_dataset(data, Path(name) / "cache"))
        except UserError as error:
            assert problems, f"packing alone refuses: {error}"
            assert "\n" not in str(error)
        else:
            assert not problems
            assert packed.splits["labeled"].images.shape[-1] == packed.spec.channels
            reading = ImageReading.of(packed.spec, choices)
            # Prediction reads the same files by what the run recorded of them.
            for path in (root / "images").iterdir():
                assert reading.load(path).pixels.shape[-1] == packed.spec.channels


SEEDS = ("gray", "rgb", "rgba", "deep", "five", "real", "stack", "hyper")


def seeds(folder: Path) -> list[bytes]:
    """Whole files of many kinds, to be damaged."""
    for number, kind in enumerate(SEEDS):
        write_image(folder / f"{kind}{number}", kind, number)
    rgb = noise(16, 24, 3)
    pillow(folder / "a.webp", rgb, 6, lossless=True)
    pillow(folder / "a.gif", rgb)
    pillow(folder / "a.jpg", rgb, 6)
    pillow(folder / "a.bmp", rgb)
    pillow(folder / "jpeg.tif", rgb, compression="jpeg")
    frames(folder / "frames.png", [rgb, rgb[::-1].copy()])
    compressed_tiff(folder / "lzw.tif", noise(16, 24, 5), "tiff_lzw", 2, rows=5)
    tiff(folder / "ome.ome.tif", noise(3, 16, 24), ome=True, metadata={"axes": "CYX"})
    tiff(
        folder / "tiles.tif", noise(40, 40, 2), planarconfig="contig", photometric="minisblack", tile=(16, 16)
    )
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def damage(whole: bytes, draw: np.random.Generator) -> bytes:
    """A file with some bytes changed, most of them where headers and directories are, or cut."""
    data = bytearray(whole)
    for _ in range(int(draw.integers(1, 6))):
        place = int(draw.integers(len(data)))
        start = draw.choice([0, 0, max(len(data) - 400, 0)])
        at = min(int(start) + int(draw.integers(120)), len(data) - 1) if draw.random() < 0.8 else place
        data[at] = int(draw.choice([0, 1, 255, int(draw.integers(256))]))
    return bytes(data[: int(draw.integers(len(data)))] if draw.random() < 0.1 else data)


def complain(problem: UserError) -> None:
    raise problem


def count_outcomes(number: int, folder: Path) -> tuple[int, int]:
    """How many damaged files were read, and how many refused in one line that names them."""
    (folder / "seeds").mkdir()
    whole, draw, path = seeds(folder / "seeds"), np.random.default_rng(0), folder / "damaged.tif"
    was_read = refused = 0
    choices = [ImageChoices(pages=pages) for pages in ("auto", "slices", "channels", "max")]
    for i in range(number):
        path.write_bytes(damage(whole[i % len(whole)], draw))
        try:
            evidence = image_file.inspect_image(path)
            chosen = choices[i % len(choices)]
            reading = image_meaning.decide_reading(folder, [evidence], chosen, None, complain)
            loaded = reading.load(path) if reading else None
            assert loaded is None or loaded.pixels.dtype == np.uint8
            was_read += 1
        except UserError as error:
            refused += 1
            assert error.field == str(path) and "\n" not in str(error), str(error)
    return was_read, refused


def test_damaged_files_are_read_or_refused(tmp_path):
    was_read, refused = count_outcomes(400, tmp_path)
    assert was_read and refused


@pytest.mark.long
def test_ten_thousand_damaged_files_are_read_or_refused(tmp_path):
    was_read, refused = count_outcomes(10_000, tmp_path)
    assert was_read and refused and was_read + refused == 10_000
