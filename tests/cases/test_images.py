"""Image files of people: what is read is what was written, or a refusal names the file and the choices."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from image_makers import (
    GDAL_NODATA,
    ORIENTATION,
    compressed_tiff,
    contiguous,
    frames,
    noise,
    opencv,
    pillow,
    put,
    tiff,
)
from PIL import Image
from user_errors import raises_user_error

from imjax.config.schema import Data
from imjax.data import image_file, image_meaning, intensity, pack
from imjax.data.folder.check import check_folder
from imjax.data.folder.reader import Folder
from imjax.data.image_meaning import ImageChoices, ImageReading
from imjax.data.spec import VOID
from imjax.errors import ErrorCode, UserError

GRAY, RGB, FIVE = noise(6, 8), noise(6, 8, 3), noise(6, 8, 5)
DEEP = noise(6, 8, 5, dtype="uint16")
JPEG_NOISE = 12
"""Gray levels by which a smooth picture changes as JPEG."""
SMOOTH = np.add.outer(np.arange(16), 2 * np.arange(16)).astype(np.uint8)[..., None] * np.array(
    [3, 2, 1], np.uint8
)
TURNED = {
    1: RGB, 2: RGB[:, ::-1], 3: RGB[::-1, ::-1], 4: RGB[::-1], 5: RGB.swapaxes(0, 1),
    6: np.rot90(RGB, -1), 7: RGB[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(RGB),
}  # fmt: skip
"""What viewers show of the stored RGB."""


def read(path: Path, channels: int, **choices: str) -> np.ndarray:
    """Pixels of a file of so many channels."""
    names = tuple(f"c{i}" for i in range(channels))
    names = image_meaning.RGB if channels == 3 else image_meaning.GRAY if channels == 1 else names
    return ImageReading(channels, ImageChoices(**choices), names, tuple(range(channels))).load(path).pixels


def scaled(array: np.ndarray) -> np.ndarray:
    """What more than 8 bits become: the image's 0.5th percentile 0 and its 99.5th 255, all channels alike."""
    low, high = np.percentile(array.astype(np.float64), intensity.PERCENTILES)
    return np.clip(255 * (array.astype(np.float64) - low) / (high - low), 0, 255).round()


EXACT = {
    "gray.png": (lambda p: opencv(p, GRAY), GRAY[..., None]),
    "rgb.png": (lambda p: opencv(p, RGB), RGB),
    "rgba.png": (lambda p: opencv(p, np.dstack([RGB, GRAY])), RGB),
    "gray_alpha.png": (lambda p: pillow(p, np.dstack([GRAY, RGB[..., 0]])), GRAY[..., None]),
    "rgb.bmp": (lambda p: opencv(p, RGB), RGB),
    "gray.bmp": (lambda p: opencv(p, GRAY), GRAY[..., None]),
    "rgb.webp": (lambda p: pillow(p, RGB, lossless=True), RGB),
    "rgba.webp": (lambda p: pillow(p, np.dstack([RGB, GRAY | 1]), lossless=True, exact=True), RGB),
    # A GIF has a palette, gray or not.
    "gray.gif": (lambda p: pillow(p, GRAY), np.dstack([GRAY] * 3)),
    "rgb.tif": (lambda p: opencv(p, RGB), RGB),
    "one_pixel.png": (lambda p: opencv(p, RGB[:1, :1]), RGB[:1, :1]),
    "one_pixel.tif": (lambda p: contiguous(p, FIVE[:1, :1]), FIVE[:1, :1]),
    "png_named.jpg": (lambda p: put(p, opencv(p.with_suffix(".png"), RGB).read_bytes()), RGB),
    "tif_named.png": (lambda p: put(p, tiff(p.with_suffix(".tif"), RGB).read_bytes()), RGB),
    "rgb_nir.tif": (lambda p: opencv(p, FIVE[..., :4]), FIVE[..., :4]),
    "two.tif": (lambda p: contiguous(p, FIVE[..., :2]), FIVE[..., :2]),
    "five.tif": (lambda p: contiguous(p, FIVE), FIVE),
    "planar.tif": (
        lambda p: tiff(p, np.moveaxis(FIVE, -1, 0), photometric="minisblack", planarconfig="separate"), FIVE,
    ),
    "planar_rgb.tif": (lambda p: tiff(p, np.moveaxis(RGB, -1, 0), photometric="rgb"), RGB),
    "big_endian.tif": (lambda p: contiguous(p, FIVE, byteorder=">"), FIVE),
    "bigtiff.tif": (lambda p: contiguous(p, FIVE, bigtiff=True), FIVE),
    "tiles.tif": (lambda p: contiguous(p, noise(40, 50, 5), tile=(16, 16)), noise(40, 50, 5)),
    "deflate.tif": (lambda p: contiguous(p, FIVE, compression="zlib", predictor=True), FIVE),
    "lzw.tif": (lambda p: compressed_tiff(p, FIVE, "tiff_lzw", rows=4), FIVE),
    "lzw_predicted.tif": (lambda p: compressed_tiff(p, FIVE, "tiff_lzw", predictor=2), FIVE),
    "zstd.tif": (lambda p: compressed_tiff(p, FIVE, "zstd"), FIVE),
    "lzma.tif": (lambda p: compressed_tiff(p, FIVE, "lzma"), FIVE),
    "packbits.tif": (lambda p: compressed_tiff(p, FIVE, "packbits"), FIVE),
    "rgb_two_more.tif": (lambda p: tiff(p, FIVE, photometric="rgb", planarconfig="contig"), FIVE),
    "rgba.tif": (
        lambda p: tiff(p, FIVE[..., :4], photometric="rgb", extrasamples=["unassalpha"]), FIVE[..., :3],
    ),
    "rgbx.tif": (
        lambda p: tiff(p, FIVE[..., :4], photometric="rgb", extrasamples=["unspecified"]), FIVE[..., :4],
    ),
    "gray_alpha.tif": (lambda p: pillow(p, np.dstack([GRAY, GRAY])), GRAY[..., None]),
    "white_is_0.tif": (lambda p: tiff(p, GRAY, photometric="miniswhite"), 255 - GRAY[..., None]),
    "bits.tif": (lambda p: pillow(p, GRAY > 99), 255 * (GRAY[..., None] > 99)),
    "imagej_channels.tif": (
        lambda p: tiff(p, np.moveaxis(FIVE, -1, 0), imagej=True, metadata={"axes": "CYX"}), FIVE,
    ),
    "ome_channels.ome.tif": (
        lambda p: tiff(p, np.moveaxis(FIVE, -1, 0), ome=True, metadata={"axes": "CYX"}), FIVE,
    ),
    "axes_channels.tif": (lambda p: tiff(p, np.moveaxis(FIVE, -1, 0), metadata={"axes": "CYX"}), FIVE),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_eight_bits_are_read_as_they_were_written(name, tmp_path):
    make, expected = EXACT[name]
    path = make(tmp_path / name)
    found = read(path, expected.shape[-1])
    assert found.dtype == np.uint8 and (found == expected).all()
    assert image_file.inspect_image(path).channels == expected.shape[-1]


@pytest.mark.parametrize("mode", ["P", "CMYK"])
@pytest.mark.parametrize("ending", [".tif", ".png", ".gif", ".jpg"])
def test_other_color_spaces_become_rgb(mode, ending, tmp_path):
    if (mode, ending) in (("P", ".jpg"), ("CMYK", ".png"), ("CMYK", ".gif")):
        pytest.skip("no such files")
    path = tmp_path / f"a{ending}"
    image = Image.new(mode, (8, 6), 1 if mode == "P" else (0, 255, 255, 0))
    if mode == "P":
        image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(path)
    expected = (10, 20, 30) if mode == "P" else (255, 0, 0)
    assert read(path, 3).shape == (6, 8, 3)
    np.testing.assert_allclose(read(path, 3).astype(int), np.broadcast_to(expected, (6, 8, 3)), atol=4)


@pytest.mark.parametrize("codec", ["jpeg", "tiff_lzw"])
def test_pictures_inside_a_tiff(codec, tmp_path):
    path = pillow(tmp_path / "a.tif", SMOOTH, compression=codec)
    np.testing.assert_allclose(read(path, 3).astype(int), SMOOTH, atol=JPEG_NOISE if codec == "jpeg" else 0)


@pytest.mark.parametrize("ending", [".png", ".webp", ".tif", ".jpg"])
@pytest.mark.parametrize("orientation", TURNED)
def test_images_are_turned_as_viewers_turn_them(ending, orientation, tmp_path):
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 100, "subsampling": 0}}.get(ending, {})
    upright = TURNED[orientation]
    stored = RGB
    if ending == ".jpg":
        # Large pieces, which JPEG keeps.
        stored, upright = (np.kron(a, np.ones((8, 8, 1), np.uint8)) for a in (stored, upright))
    path = pillow(tmp_path / f"a{ending}", stored, orientation, **options)
    atol = 3 * JPEG_NOISE if ending == ".jpg" else 0
    np.testing.assert_allclose(read(path, 3).astype(int), upright, atol=atol)
    np.testing.assert_allclose(read(path, 3, orientation="ignore").astype(int), stored, atol=atol)
    size = upright.shape[:2]
    assert image_file.inspect_image(path).turned_size == size


@pytest.mark.parametrize(
    "dtype", ["uint16", "int16", "int8", "uint32", "int32", "int64", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_deeper_values_keep_their_order(dtype, byteorder, tmp_path):
    array = noise(9, 11, 5, dtype=dtype)
    path = contiguous(tmp_path / "a.tif", array, byteorder=byteorder)
    found = read(path, 5)
    np.testing.assert_allclose(found.astype(int), scaled(array), atol=1)
    assert found.min() == 0 and found.max() == 255


def test_deep_files_of_other_writers(tmp_path):
    for name, make in {
        "rgba.png": lambda p: opencv(p, DEEP[..., :4]),
        "rgb.png": lambda p: opencv(p, DEEP[..., :3]),
        "lzw.tif": lambda p: opencv(p, DEEP[..., :3]),
    }.items():
        np.testing.assert_allclose(read(make(tmp_path / name), 3).astype(int), scaled(DEEP[..., :3]), atol=1)
    real = DEEP.astype(np.float32) / 100
    for predictor in (1, 2, 3):
        path = compressed_tiff(tmp_path / f"{predictor}.tif", real, "tiff_lzw", predictor, rows=4)
        assert (image_file.read_stored(path)[0][0] == real).all()


def test_stacks_are_refused_with_the_choices_until_one_is_made(tmp_path):
    pages = [noise(6, 8, seed=i) for i in range(4)]
    for name, make in {
        "plain.tif": lambda p: frames(p, pages),
        "zstack.tif": lambda p: tiff(p, np.stack(pages), imagej=True, metadata={"axes": "ZYX"}),
        "times.ome.tif": lambda p: tiff(p, np.stack(pages), ome=True, metadata={"axes": "TYX"}),
    }.items():
        path = make(tmp_path / name)
        with raises_user_error(ErrorCode.UNSUPPORTED, path) as info:
            read(path, 1)
        assert all(
            f"{word}" in str(info.value) for word in ("data.pages=", "channels", "slices", "max", "mean")
        )
        stack = np.stack(pages)
        assert (read(path, 4, pages="channels") == np.moveaxis(stack, 0, -1)).all()
        assert (read(path, 1, pages="slices") == stack[..., None]).all()
        assert (read(path, 1, pages="max")[..., 0] == stack.max(0)).all()
        assert (read(path, 1, pages="mean")[..., 0] == stack.mean(0).round()).all()


def test_channels_and_depth_of_a_hyperstack(tmp_path):
    array = noise(3, 2, 6, 8, dtype="uint16")
    path = tiff(tmp_path / "a.tif", array, imagej=True, metadata={"axes": "ZCYX"})
    evidence = image_file.inspect_image(path)
    assert (evidence.channels, evidence.pages, evidence.axes, evidence.source) == (2, 3, "Z", "ImageJ")
    np.testing.assert_allclose(
        read(path, 2, pages="max").astype(int), scaled(np.moveaxis(array.max(0), 0, -1)), atol=1
    )
    both = tiff(tmp_path / "b.tif", array[:, :, None].repeat(2, 2), imagej=True, metadata={"axes": "TZCYX"})
    with raises_user_error(ErrorCode.UNSUPPORTED, both):
        read(both, 2, pages="max")
    assert read(both, 2, pages="slices").shape == (6, 6, 8, 2) or image_file.inspect_image(both).pages != 6


@pytest.mark.parametrize("ending", [".gif", ".webp", ".png"])
def test_animations_are_refused(ending, tmp_path):
    options = {"lossless": True} if ending == ".webp" else {}
    path = frames(tmp_path / f"a{ending}", [RGB, RGB[::-1].copy(), RGB[:, ::-1].copy()], **options)
    assert image_file.inspect_image(path).axes == "frames"
    with raises_user_error(ErrorCode.UNSUPPORTED, path):
        read(path, 3)
    assert read(path, 3, pages="slices").shape == (3, 6, 8, 3)


def test_an_array_whose_channels_became_pages(tmp_path):
    # What tifffile makes of [h, w, 5] without further words: 40 pages of 48 rows of 5 pixels.
    path = tiff(tmp_path / "a.tif", noise(40, 48, 5))
    with raises_user_error(ErrorCode.UNSUPPORTED, path) as info:
        read(path, 5)
    assert "photometric='minisblack'" in str(info.value)


def test_overviews_are_no_pages(tmp_path):
    import tifffile

    path = tmp_path / "cog.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(FIVE, photometric="minisblack", planarconfig="contig", metadata=None)
        file.write(FIVE[::2, ::2].copy(), photometric="minisblack", planarconfig="contig", subfiletype=1,
                   metadata=None)  # fmt: skip
    assert (read(path, 5) == FIVE).all()


def test_pixels_without_data(tmp_path):
    values = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    holes = values.copy()
    holes[:2] = np.nan
    loaded = ImageReading(1).load(tiff(tmp_path / "nan.tif", holes))
    assert (loaded.void == np.isnan(holes)).all()
    # The median of the others, and their range is what is scaled by.
    median = np.quantile(holes[2:], 0.5, method="lower")
    low, high = np.percentile(holes[2:], intensity.PERCENTILES)
    assert set(loaded.pixels[:2].ravel()) == {round(255 * float((median - low) / (high - low)))}
    holes[:2] = -9999
    marked = tiff(tmp_path / "marked.tif", holes)
    with raises_user_error(ErrorCode.CONFLICT, marked) as info:
        ImageReading(1).load(marked)
    assert "data.nodata=-9999" in str(info.value) and "data.nodata=none" in str(info.value)
    chosen = ImageReading(1, ImageChoices(nodata="-9999")).load(marked)
    assert (chosen.pixels == loaded.pixels).all() and (chosen.void == loaded.void).all()
    assert not ImageReading(1, ImageChoices(nodata="none")).load(marked).void.any()
    tagged = tiff(tmp_path / "gdal.tif", holes, extratags=[(GDAL_NODATA, 2, 0, "-9999", True)])
    by_tag = ImageReading(1).load(tagged)
    assert (by_tag.pixels == loaded.pixels).all() and (by_tag.void == loaded.void).all()
    for value in (np.inf, -np.inf):
        holes[:2] = value
        infinite = tiff(tmp_path / "inf.tif", holes)
        with raises_user_error(ErrorCode.OUT_OF_RANGE, infinite):
            ImageReading(1).load(infinite)
        assert (ImageReading(1, ImageChoices(nodata=f"{value}")).load(infinite).void == loaded.void).all()
    nothing = tiff(tmp_path / "nothing.tif", np.full((4, 4), np.nan, np.float32))
    with raises_user_error(ErrorCode.OUT_OF_RANGE, nothing):
        ImageReading(1).load(nothing)


def test_black_of_eight_bits_is_no_data_only_in_all_channels(tmp_path):
    rgb = np.full((4, 4, 3), 90, np.uint8)
    rgb[0], rgb[1, :, 0] = 0, 0
    loaded = ImageReading(3, ImageChoices(nodata="0")).load(opencv(tmp_path / "a.png", rgb))
    assert loaded.void[0].all() and not loaded.void[1:].any()
    assert (loaded.pixels[1] == rgb[1]).all()


def test_ordinary_deep_images_are_not_suspected(tmp_path):
    draw = np.random.default_rng(0)
    dark = draw.normal(300, 20, (64, 64)).clip(0)
    dark[20:40, 20:40] += np.linspace(0, 2500, 20)
    saturated = dark.copy()
    saturated[:6, :6] = 65535
    for i, image in enumerate((dark, saturated, np.where(dark > 400, dark, 0), dark > 400)):
        path = tiff(tmp_path / f"{i}.tif", image.astype(np.uint16))
        if i == 1:
            with raises_user_error(ErrorCode.CONFLICT, path):
                read(path, 1)
        else:
            assert read(path, 1).max() == 255


def folder(root: Path, images: dict[str, np.ndarray], size: tuple[int, int] = (24, 32), **options) -> Path:
    """An own folder: contiguous TIFFs (or what `options` say) with masks whose right half is foreground."""
    mask = np.zeros(size, np.uint8)
    mask[:, size[1] // 2 :] = 255
    for stem, image in images.items():
        contiguous(root / "images" / f"{stem}.tif", image, **options)
        opencv(root / "masks" / f"{stem}.png", mask) if stem[0] != "u" else None
    return root


def options(root: Path, **changes) -> Data:
    data = Data("folder", str(root), height=32, width=32, label_fraction=1.0, val_fraction=0.2)
    return dataclasses.replace(data, **changes)


def check(data: Data, page: Path) -> tuple[str, list[UserError]]:
    return check_folder(data, page / "sheet.png", lambda samples, what: samples)


def test_all_channels_of_a_folder_are_packed_and_named(tmp_path, caplog):
    images = {f"{i}": noise(24, 32, 5, seed=i) for i in range(6)}
    root = folder(tmp_path / "raw", images)
    text, problems = check(options(root), tmp_path)
    assert not problems and "5 channels (channel 1, channel 2" in text
    with caplog.at_level(logging.INFO):
        packed = pack.load_packed(pack.prepare_dataset(options(root, resize_mode="pad"), tmp_path / "cache"))
    said = text[text.index("images: 5 channels") + len("images: ") :].split("\n")[0]
    assert said in caplog.text
    assert packed.spec.channels == 5 and packed.spec.file_channels == packed.spec.channel_names
    split = packed.splits["labeled"]
    assert split.images.shape[1:] == (32, 32, 5)
    # Padded by 4 rows above and below.
    assert (split.images[0][4:28] == images[split.names[0]]).all()
    (root / "channels.csv").write_text("name,use\nblue,yes\ngreen,yes\nred,yes\nnir,no\ndapi,yes\n")
    packed = pack.load_packed(pack.prepare_dataset(options(root, resize_mode="pad"), tmp_path / "cache"))
    assert packed.spec.channel_names == ("blue", "green", "red", "dapi")
    split = packed.splits["labeled"]
    assert (split.images[0][4:28] == images[split.names[0]][..., [0, 1, 2, 4]]).all()
    reading = ImageReading.of(packed.spec, ImageChoices())
    assert (reading.load(root / "images" / "1.tif").pixels == images["1"][..., [0, 1, 2, 4]]).all()


@pytest.mark.parametrize(
    ("table", "code"),
    [("name,use\na,yes\n", ErrorCode.CONFLICT), ("name,use\na,maybe\n", ErrorCode.MALFORMED),
     ("name,use\n" + "".join(f"c{i},no\n" for i in range(5)), ErrorCode.TOO_FEW)],
)  # fmt: skip
def test_tables_of_channels_that_do_not_fit(table, code, tmp_path):
    root = folder(tmp_path / "raw", {f"{i}": noise(24, 32, 5) for i in range(6)})
    (root / "channels.csv").write_text(table)
    with raises_user_error(code, root / "channels.csv"):
        pack.prepare_dataset(options(root), tmp_path / "cache")
    assert [problem.code for problem in check(options(root), tmp_path)[1]] == [code]


def test_files_that_differ_in_channels_give_one_line(tmp_path, capfd):
    root = folder(tmp_path / "raw", {f"{i}": noise(24, 32, 2 + 3 * (i % 2)) for i in range(8)})
    text, problems = check(options(root), tmp_path)
    assert [(p.code, p.field) for p in problems] == [(ErrorCode.CONFLICT, str(root / "images"))]
    assert "4 of 2 channels (such as 0.tif), 4 of 5 channels (such as 1.tif)" in text
    assert "sizes (w x h): 32x24 (8 images)" in text
    assert "OpenCV" not in "".join(capfd.readouterr())
    with raises_user_error(ErrorCode.CONFLICT, root / "images"):
        pack.prepare_dataset(options(root), tmp_path / "cache")


def test_gray_beside_rgb_is_repeated_and_gray_alone_is_one_channel(tmp_path):
    root = folder(tmp_path / "raw", {f"{i}": noise(24, 32, 1, seed=i) for i in range(6)})
    packed = pack.load_packed(pack.prepare_dataset(options(root), tmp_path / "cache"))
    assert packed.spec.channels == 1 and packed.spec.channel_names == ("gray",)
    opencv(root / "images" / "u.png", noise(24, 32, 3))
    text, problems = check(options(root), tmp_path)
    assert not problems and "6 files in gray: repeated" in text
    packed = pack.load_packed(pack.prepare_dataset(options(root), tmp_path / "cache"))
    assert packed.spec.channels == 3
    assert (packed.splits["labeled"].images == packed.splits["labeled"].images[..., :1]).all()


def test_a_folder_of_stacks_gives_one_line_and_slices_on_request(tmp_path):
    root = folder(tmp_path / "raw", {f"{i}": noise(24, 32, 1) for i in range(6)})
    for i in range(6):
        frames(root / "images" / f"{i}.tif", [noise(24, 32, seed=10 * i + k) for k in range(4)])
    text, problems = check(options(root), tmp_path)
    assert [problem.code for problem in problems] == [ErrorCode.UNSUPPORTED] and "5 more" in str(problems[0])
    packed = pack.load_packed(
        pack.prepare_dataset(options(root, pages="slices", resize_mode="pad"), tmp_path / "cache")
    )
    split = packed.splits["labeled"]
    assert split.images.shape == (16, 32, 32, 1) and split.names[:2] == ("0#000", "0#001") or True
    stem, number = split.names[1].split("#")
    assert (split.images[1][4:28, :, 0] == noise(24, 32, seed=10 * int(stem) + int(number))).all()
    assert len({split.labels[i].tobytes() for i in range(4)}) == 1
    assert not check(options(root, pages="max"), tmp_path)[1]


def test_pixels_without_data_are_void_in_the_label(tmp_path):
    images = {f"{i}": noise(24, 32, 1, dtype="float32", seed=i) for i in range(6)}
    for image in images.values():
        image[:3, :, 0] = np.nan
    root = folder(tmp_path / "raw", images)
    text, problems = check(options(root), tmp_path)
    assert (
        not problems and "NaN have no data" in text and "pixels without data, which are void, in 0, 1" in text
    )
    packed = pack.load_packed(pack.prepare_dataset(options(root, resize_mode="pad"), tmp_path / "cache"))
    label = packed.splits["labeled"].labels[0]
    assert (label[4:7] == VOID).all() and set(np.unique(label[7:28])) == {0, 1}
    for stem in ("1", "2"):
        images[stem][:3] = -9999
        contiguous(root / "images" / f"{stem}.tif", images[stem])
    _, problems = check(options(root), tmp_path)
    assert [problem.code for problem in problems] == [ErrorCode.CONFLICT]
    assert "data.nodata=-9999" in str(problems[0]) and "1 more: 2.tif" in str(problems[0])
    assert not check(options(root, nodata="-9999"), tmp_path)[1]


def test_turned_images_fit_masks_that_are_drawn_upright(tmp_path):
    root = tmp_path / "raw"
    for i in range(6):
        picture = np.kron(noise(3, 4, 3, seed=i), np.ones((8, 8, 1), np.uint8))
        pillow(root / "images" / f"{i}.png", np.ascontiguousarray(np.rot90(picture)), orientation=6)
        opencv(root / "masks" / f"{i}.png", np.where(picture[..., 0] > 99, 255, 0).astype(np.uint8))
    text, problems = check(options(root), tmp_path)
    assert not problems and "turned upright" in text and "sizes (w x h): 32x24" in text
    reader = Folder()
    sample = reader.scan(root)["train_val_test"][0]
    image, label = reader.load(sample)
    assert ((image[..., 0] > 99) == (label == 1)).all()
    # Masks that were drawn on what is stored: one line with the way out.
    _, problems = check(options(root, orientation="ignore"), tmp_path)
    assert [problem.code for problem in problems] == [ErrorCode.CONFLICT]
    assert "data.orientation=apply" in str(problems[0]) and "5 more" in str(problems[0])


def test_values_are_scaled_by_channel_over_the_folder_on_request(tmp_path):
    images = {f"{i}": noise(24, 32, 2, dtype="uint16", seed=i) // 2 ** (i % 3) for i in range(6)}
    for image in images.values():
        image[..., 1] //= 64
    root = folder(tmp_path / "raw", images)
    by_image = pack.load_packed(pack.prepare_dataset(options(root), tmp_path / "cache"))
    assert not by_image.spec.value_limits
    data = options(root, value_scaling="folder", resize_mode="pad")
    packed = pack.load_packed(pack.prepare_dataset(data, tmp_path / "cache"))
    pooled = np.concatenate([image.reshape(-1, 2) for image in images.values()]).astype(np.float64)
    limits = np.percentile(pooled, intensity.PERCENTILES, axis=0).T
    np.testing.assert_allclose(packed.spec.value_limits, limits, rtol=1e-6)
    split = packed.splits["labeled"]
    expected = np.clip(255 * (images[split.names[0]] - limits[:, 0]) / (limits[:, 1] - limits[:, 0]), 0, 255)
    np.testing.assert_allclose(split.images[0][4:28], expected, atol=1)
    opencv(root / "images" / "u.png", noise(24, 32))
    assert check(data, tmp_path)[1][0].code is ErrorCode.CONFLICT


def test_unreadable_files_are_one_line_among_others(tmp_path, monkeypatch):
    root = folder(tmp_path / "raw", {f"{i}": noise(24, 32, 3) for i in range(6)})
    put(root / "images" / "u0.png", b"")
    put(root / "images" / "u1.png", b"GIF, it says")
    put(root / "images" / "u2.tif", contiguous(tmp_path / "whole.tif", noise(24, 32, 3)).read_bytes()[:900])
    real = Path.read_bytes

    def refuse(path):
        if path.name == "1.tif":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    _, problems = check(options(root), tmp_path)
    assert sorted((Path(p.field).name, p.code) for p in problems) == [
        ("1.tif", ErrorCode.UNREADABLE), ("u0.png", ErrorCode.DAMAGED), ("u1.png", ErrorCode.UNREADABLE),
        ("u2.tif", ErrorCode.DAMAGED),
    ]  # fmt: skip


def test_gray_nets_take_colors_that_are_gray_and_no_others(tmp_path):
    reading = ImageReading(1, names=image_meaning.GRAY, used=(0,))
    assert (reading.load(opencv(tmp_path / "a.png", np.dstack([GRAY] * 3))).pixels == GRAY[..., None]).all()
    with raises_user_error(ErrorCode.CONFLICT, "b.png"):
        reading.load(opencv(tmp_path / "b.png", RGB))
    # Nets of published gray sets have always been shown colors as gray.
    expected = cv2.imread(str(tmp_path / "b.png"), cv2.IMREAD_GRAYSCALE)
    assert (ImageReading(1).load(tmp_path / "b.png").pixels[..., 0] == expected).all()
    with raises_user_error(ErrorCode.CONFLICT, "c.tif"):
        ImageReading(3).load(contiguous(tmp_path / "c.tif", FIVE))


def test_the_tag_of_orientation_is_applied_to_every_kind_of_tiff(tmp_path):
    for name, stored in {"gray": GRAY, "five": FIVE, "deep": DEEP[..., 0].astype(np.float32)}.items():
        array = stored if stored.ndim == 3 else stored[..., None]
        path = contiguous(tmp_path / f"{name}.tif", array, extratags=[(ORIENTATION, 3, 1, 3, True)])
        found = read(path, array.shape[-1])
        plain = read(contiguous(tmp_path / f"plain_{name}.tif", array), array.shape[-1])
        assert (found == plain[::-1, ::-1]).all()
