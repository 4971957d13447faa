"""Prediction reads images as training did: channels, stacks, and one line for all that do not fit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile
from handmade import make_run, spec
from user_errors import raises_user_error

from imjax.data import image_io
from imjax.errors import ErrorCode
from imjax.inference import predict_folder
from imjax.inference.load_run import load_model
from imjax.inference.sliding_window import Tiler

NAMES = ("nir", "red", "green", "blue", "qa")
FIVE = spec("binary", ("cell",), channels=4, channel_names=NAMES[:4], file_channels=NAMES)


def write(path, channels, seed=0):
    """A TIFF `[12, 16, channels]` of noise, and its pixels."""
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, channels), np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig")
    return pixels


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(make_run(tmp_path_factory.mktemp("runs") / "five", FIVE, ("train_g0",)))


def predict(model, folder, out):
    run = predict_folder.FolderPrediction(model, 1, Tiler(model.size))
    run(image_io.find_images(folder), out)
    return run


def test_the_channels_that_were_used_and_one_line_for_other_files(model, tmp_path, said):
    pixels = write(tmp_path / "images" / "a.tif", 5)
    for name in ("b", "c"):
        write(tmp_path / "images" / f"{name}.tif", 3)
    run = predict(model, tmp_path / "images", tmp_path / "out")
    assert [row["file"] for row in run.rows] == ["a.tif"]
    assert [(problem.code, problem.field[-5:]) for problem in run.failed] == [
        (ErrorCode.CONFLICT, "b.tif"), (ErrorCode.CONFLICT, "c.tif"),
    ]  # fmt: skip
    assert any("4 channels (nir, red, green, blue of nir, red, green, blue, qa" in line for line in said)
    from_array = model.predict(pixels[..., :4], nets=1)
    mask = cv2.imread(str(tmp_path / "out" / "masks" / "a.png"), cv2.IMREAD_UNCHANGED) // 255
    assert (mask == from_array.mask).all() and (
        model.predict(tmp_path / "images" / "a.tif", nets=1).mask == mask
    ).all()
    # The overlay shows the channels that are named red, green and blue.
    overlay = cv2.imread(str(tmp_path / "out" / "overlay" / "a.png"))[..., ::-1]
    assert (overlay[mask == 0] == pixels[..., 1:4][mask == 0]).all()


def test_nothing_is_written_where_no_file_fits(model, tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "images" / f"{name}.tif", 3)
    with raises_user_error(ErrorCode.CONFLICT, "a.tif") as info:
        predict(model, tmp_path / "images", tmp_path / "out")
    assert "1 more: b.tif" in str(info.value) and not (tmp_path / "out").exists()


def test_slices_of_a_stack_are_images(tmp_path):
    slices = spec(
        "binary", ("cell",), channels=1, channel_names=("gray",), file_channels=("gray",), volumes=True
    )
    workdir = make_run(tmp_path / "run", slices, ("train_g0",))
    record = workdir / "config.json"
    record.write_text(record.read_text().replace('"pages": "auto"', '"pages": "slices"'))
    model = load_model(workdir)
    stack = np.random.default_rng(0).integers(0, 256, (3, 12, 16), np.uint8)
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    run = predict(model, tmp_path / "images", tmp_path / "out")
    assert sorted(row["file"] for row in run.rows) == ["a.tif#000", "a.tif#001", "a.tif#002"]
    for number, plane in enumerate(stack):
        mask = cv2.imread(str(tmp_path / "out" / "masks" / f"a#00{number}.png"), cv2.IMREAD_UNCHANGED)
        assert (mask == 255 * model.predict(plane, nets=1).mask).all()
    with raises_user_error(ErrorCode.UNSUPPORTED, "a.tif"):
        model.predict(tmp_path / "images" / "a.tif")
