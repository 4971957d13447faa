"""Image files of a folder that is no dataset."""

import cv2
import numpy as np
from photos import read_as
from user_errors import raises_user_error

from imjax.data import image_io
from imjax.errors import ErrorCode


def put(path, pixels):
    path.write_bytes(cv2.imencode(path.suffix.lower(), pixels)[1].tobytes())
    return path


def test_find_by_name_and_ending(tmp_path):
    for name in ("b.PNG", "a ü.tif", "c.jpeg", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "more.png").mkdir()
    assert [path.name for path in image_io.find_images(tmp_path)] == ["a ü.tif", "b.PNG", "c.jpeg"]


def test_nothing_to_find(tmp_path):
    with raises_user_error(ErrorCode.MISSING, tmp_path / "nowhere"):
        image_io.find_images(tmp_path / "nowhere")
    (tmp_path / "inside").mkdir()
    (tmp_path / "notes.txt").write_text("")
    with raises_user_error(ErrorCode.MISSING, tmp_path):
        image_io.find_images(tmp_path)


def test_one_stem_twice(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "a.jpg").write_bytes(b"")
    with raises_user_error(ErrorCode.CONFLICT, "a.png"):
        image_io.find_images(tmp_path)


def test_channels_and_depths(tmp_path):
    # Blue, green, red in the file's order; gray is .114 B + .587 G + .299 R, here .114·10 + .587·100 = 59.84.
    color = put(tmp_path / "color.bmp", np.full((2, 3, 3), (10, 100, 0), np.uint8))
    assert read_as(color, 3)[0, 0].tolist() == [0, 100, 10]
    gray = read_as(color, 1)
    assert gray.shape == (2, 3, 1) and gray[0, 0, 0] == 60
    alpha = put(tmp_path / "alpha.png", np.full((2, 3, 4), (10, 100, 0, 7), np.uint8))
    assert read_as(alpha, 3)[0, 0].tolist() == [0, 100, 10]
    # 16 bits are scaled by the image's own range, as training scales them: 100 of 0 to 1000 is a tenth.
    steps = np.repeat(np.array([0, 100, 1000], np.uint16), 100)[None]
    deep = put(tmp_path / "deep.tif", steps)
    scaled = read_as(deep, 1)
    assert scaled.dtype == np.uint8 and scaled[0, ::100, 0].tolist() == [0, 26, 255]
    assert read_as(deep, 3)[0, 100].tolist() == [26] * 3


def test_bad_files(tmp_path):
    whole = put(tmp_path / "a.png", np.zeros((40, 40), np.uint8))
    whole.write_bytes(whole.read_bytes()[:50])
    with raises_user_error(ErrorCode.DAMAGED, whole):
        read_as(whole, 1)
    with raises_user_error(ErrorCode.MISSING, "b.png"):
        read_as(tmp_path / "b.png", 1)
