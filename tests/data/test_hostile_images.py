"""Image files as they come from elsewhere: bombs, odd kinds, cut anywhere, odd names, links in circles."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from complaints import assert_complaint
from folders import folder, values, write
from photos import read_as
from PIL import Image
from user_errors import raises_user_error

from imjax.config.schema import Data
from imjax.data import image_io, pack
from imjax.data.folder.reader import Folder
from imjax.errors import ErrorCode, UserError

KINDS = ("png", "jpg", "bmp", "tif")
READERS = (
    image_io.read_image,
    image_io.read_gray,
    image_io.read_index,
    lambda path: read_as(path, 3),
)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, data=b""):
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpg(width, height):
    data = bytearray(cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp(width, height):
    data = bytearray(cv2.imencode(".bmp", np.zeros((8, 8), np.uint8))[1].tobytes())
    # As if packed, so that its bytes need not be as many.
    data[18:26], data[30:34] = struct.pack("<ii", width, -height), struct.pack("<I", 1)
    return bytes(data)


def tif(width, height, big=False, order="<"):
    start = b"II" if order == "<" else b"MM"
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8)]
    if big:
        body = b"".join(struct.pack(order + "HHQIxxxx", *tag) for tag in tags)
        return start + struct.pack(order + "HHHQQ", 43, 8, 0, 16, len(tags)) + body
    body = b"".join(struct.pack(order + "HHII", *tag) for tag in tags)
    return start + struct.pack(order + "HIH", 42, 8, len(tags)) + body


@pytest.mark.parametrize("make", [png, jpg, bmp, tif], ids=KINDS)
@pytest.mark.parametrize("size", [(60_000, 60_000), (30_000, 30_000)])
def test_bombs_are_refused_before_they_are_decoded(make, size, tmp_path, monkeypatch):
    path = tmp_path / f"bomb.{make.__name__}"
    path.write_bytes(make(*size))
    monkeypatch.setattr(image_io.cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    for reader in READERS:
        with raises_user_error(ErrorCode.OUT_OF_RANGE, path):
            reader(path)


@pytest.mark.parametrize("make", [png, jpg, bmp, tif], ids=KINDS)
def test_sizes_are_read_off_the_head(make):
    assert image_io.header_size(make(70, 50)) == (70, 50)
    for kind in KINDS:
        assert image_io.header_size(cv2.imencode(f".{kind}", np.zeros((5, 7, 3), np.uint8))[1].tobytes()) == (
            7,
            5,
        )
    assert (
        image_io.header_size(tif(70, 50, big=True))
        == image_io.header_size(tif(70, 50, order=">"))
        == (70, 50)
    )
    assert image_io.header_size(b"GIF89a") is None and image_io.header_size(b"") is None
    whole = make(70, 50)
    assert all(image_io.header_size(whole[:n]) in (None, (70, 50)) for n in range(len(whole)))


def test_large_images_that_are_images_pass():
    # 16 385² pixels are more than plenty; of 200 to a byte of the file, they are fine.
    data = png(16_385, 16_385)
    assert "remove it" in image_io.describe_oversized(data)
    assert image_io.describe_oversized(data + bytes(16_385**2 // 200 + 1)) == ""
    assert image_io.describe_oversized(png(16_384, 16_384)) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_files_cut_anywhere_are_one_line_or_whole(kind, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    whole = cv2.imencode(f".{kind}", noise)[1].tobytes()
    path = tmp_path / f"cut.{kind}"
    refused = 0
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        try:
            assert read_as(path, 3).shape[2] == 3
        except UserError as error:
            refused += 1
            assert error.field == str(path) and "\n" not in str(error)
    assert refused


def test_odd_kinds_are_read_as_pictures(tmp_path):
    red = tmp_path / "red.jpg"
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(red)
    np.testing.assert_allclose(read_as(red, 3)[8, 8], (255, 0, 0), atol=4)
    palette = Image.new("P", (3, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "palette.png")
    assert read_as(tmp_path / "palette.png", 3)[0, 0].tolist() == [10, 20, 30]
    Image.new("1", (3, 2), 1).save(tmp_path / "bits.png")
    assert read_as(tmp_path / "bits.png", 1).ravel().tolist() == [255] * 6
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "one.png")
    assert read_as(tmp_path / "one.png", 3).tolist() == [[[1, 2, 3]]]
    # One value only, in 16 bits: nothing is brighter than anything.
    Image.fromarray(np.full((2, 2), 40_000, np.uint16)).save(tmp_path / "deep.png")
    assert read_as(tmp_path / "deep.png", 1).max() == 0


def test_published_sets_are_read_as_stored_and_other_images_upright(tmp_path):
    # Stored 30 wide and 20 high; a viewer turns it clockwise, so that the white right half is below.
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.zeros((20, 30, 3), np.uint8)
    stored[:, 15:] = 255
    upright = np.rot90(stored, -1)
    path = tmp_path / "turned.jpg"
    Image.fromarray(stored).save(path, exif=exif, quality=95)
    with Image.open(path) as file:
        assert file.getexif()[0x0112] == 6
    # Their masks are drawn on what is stored.
    np.testing.assert_allclose(image_io.read_image(path), stored, atol=8)
    np.testing.assert_allclose(image_io.read_gray(path), stored[..., 0], atol=8)
    for channels in (1, 3):
        np.testing.assert_allclose(read_as(path, channels), upright[..., :channels], atol=8)
        left = read_as(path, channels, orientation="ignore")
        np.testing.assert_allclose(left, stored[..., :channels], atol=8)


def test_an_indexed_mask_that_pillow_cannot_read(tmp_path, monkeypatch):
    raw_folder = folder(tmp_path / "raw", {"a": values(0, 255), "b": values(0, 255)})
    palette = Image.new("P", (32, 24), 1)
    palette.putpalette([0, 0, 0, 200, 20, 30])
    palette.save(raw_folder / "masks" / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert_complaint(Folder(), raw_folder, ErrorCode.UNREADABLE, "masks/a.png")


def test_links_in_circles(tmp_path):
    root = folder(tmp_path / "raw", {"a": values(0, 255), "b": values(0, 255)})
    # A folder inside itself is walked once; nothing of it is read.
    (root / "images" / "inside").symlink_to(root / "images", target_is_directory=True)
    assert sorted(sample.name for part in Folder().scan(root).values() for sample in part) == [
        "a", "b", "bare0", "bare1",
    ]  # fmt: skip
    (root / "images" / "c.png").symlink_to(root / "images" / "d.png")
    (root / "images" / "d.png").symlink_to(root / "images" / "c.png")
    assert_complaint(Folder(), root, ErrorCode.UNREADABLE, root / "images" / "c.png")
    assert "c.png" in [path.name for path in image_io.find_images(root / "images")]
    with raises_user_error(ErrorCode.MISSING, "images/c.png"):
        read_as(root / "images" / "c.png", 3)


def test_names_with_spaces_and_letters_of_all_kinds(tmp_path):
    names = ("größe 1", "细胞 二", "a'b & <c>", "ночь")
    root = folder(tmp_path / "meine Däten 数据", {name: values(0, 255) for name in names}, bare=1)
    write(root / "images" / "mit Leerzeichen.tif", np.zeros((24, 32, 3), np.uint8))
    options = Data(
        "folder", str(root), height=16, width=32, label_fraction=0.5, val_fraction=0.25, test_fraction=0.25
    )
    packed = pack.load_packed(pack.prepare_dataset(options, tmp_path / "Zwischen ablage ü"))
    found = {name for split in packed.splits.values() for name in split.names}
    assert found == {*names, "bare0", "mit Leerzeichen"}
    read = [read_as(path, 3).shape for path in image_io.find_images(root / "images")]
    assert read == [(24, 32, 3)] * 6
