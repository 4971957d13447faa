"""Cutting images into inputs and joining what nets say of them."""

import numpy as np
import pytest
from handmade import make_run

from imjax.data import intensity, preprocess
from imjax.data.options import DataOptions
from imjax.data.readers import isic2018, suim
from imjax.data.spec import DatasetSpec
from imjax.inference import sliding_window
from imjax.inference.load_run import load_model
from imjax.inference.sliding_window import Symmetry, Tiler

ALL = tuple(Symmetry(turns, mirrored) for turns in range(4) for mirrored in (False, True))


def image(height, width, channels=2):
    return np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, channels), np.uint8)


def as_it_is(cutting, picture):
    """What a net that says of each pixel its own value makes of an image, by way of pieces and back."""
    said = (piece[None].astype(np.float32) for piece in cutting.tiles(picture))
    found = cutting.stitch(picture.shape[:2], said)
    assert next(said, None) is None
    return found


def test_a_view_is_taken_back():
    x = image(4, 4)
    views = [symmetry.apply(x) for symmetry in ALL]
    assert len({view.tobytes() for view in views}) == 8
    for symmetry, view in zip(ALL, views, strict=True):
        np.testing.assert_array_equal(symmetry.invert(view[None])[0], x)


def test_only_views_that_training_showed():
    def count(free, size):
        spec = DatasetSpec("t", "t", "binary", ("x",), ((0, 0, 0),), rotation_invariant=free)
        return len(sliding_window.symmetries(spec, size))

    assert (count(False, (8, 8)), count(True, (8, 8)), count(True, (8, 16))) == (2, 8, 4)


@pytest.mark.parametrize("shape", [(8, 8), (5, 8), (19, 8), (8, 9), (21, 30), (1, 3)])
@pytest.mark.parametrize("views", [sliding_window.IDENTITY, ALL])
def test_pixels_come_back_where_they_were(shape, views):
    picture = image(*shape)
    for overlap in (0.0, 0.25, 0.9):
        found = as_it_is(Tiler((8, 8), views, tile=True, overlap=overlap), picture)
        np.testing.assert_allclose(found[0], picture, rtol=1e-5, atol=1e-4)


def test_gray_levels_are_those_of_the_whole_image_in_every_tile():
    picture = image(21, 30) // 3
    found = as_it_is(Tiler((8, 8), tile=True, stretch=True), picture)
    np.testing.assert_allclose(found[0], intensity.percentile_normalize(picture), rtol=1e-5, atol=1e-4)


def test_a_model_resizes_as_its_nets_were_trained(tmp_path):
    for spec in (isic2018.SPEC, suim.SPEC):
        model = load_model(make_run(tmp_path / spec.name, spec))
        assert model.make_tiler().image_resize == spec.image_resize


@pytest.mark.parametrize("fit", ["resize", "pad"])
@pytest.mark.parametrize("how", ["area", "bilinear"])
def test_resized_as_in_training(how, fit):
    picture = np.random.default_rng(0).integers(0, 256, (21, 30, 2), dtype=np.uint8)
    options, label = DataOptions("", size=(8, 8), fit=fit), np.zeros((21, 30), np.uint8)
    ((packed, _),) = preprocess.cut_crops(picture, label, "a", options, "nearest", how)
    (shown,) = Tiler((8, 8), pad=fit == "pad", image_resize=how).tiles(picture)
    np.testing.assert_array_equal(shown, packed)
    ((other, _),) = preprocess.cut_crops(
        picture, label, "a", options, "nearest", {"area": "bilinear"}.get(how, "area")
    )
    assert (packed != other).any()


@pytest.mark.parametrize("shape", [(8, 8), (5, 7), (3, 8), (19, 8), (21, 30)])
def test_padded_as_in_training(shape):
    picture = image(*shape)
    cutting = Tiler((8, 8), ALL, pad=True)
    options = DataOptions("", size=(8, 8), fit="pad")
    label = np.zeros(shape, np.uint8)
    ((packed, _),) = preprocess.cut_crops(picture, label, "a", options)
    views = list(cutting.tiles(picture))
    np.testing.assert_array_equal(views[0], packed)
    # Back comes the image without what is around it, shrunk where it was larger.
    small = preprocess.resize_image(picture, preprocess.centered_placement(shape, (8, 8))[2:])
    found = as_it_is(cutting, picture)
    assert cutting.resized_size(shape) == small.shape[:2]
    np.testing.assert_allclose(found[0], small, atol=1e-4)
    assert list(Tiler((8, 8), tile=True, pad=True).tiles(picture))[0].shape == (8, 8, 2)


def test_the_canvas_is_the_size_of_training_or_the_scaled_image():
    whole, tiled = Tiler((8, 16)), Tiler((8, 16), tile=True, scale=0.5)
    assert as_it_is(whole, image(21, 30)).shape == (1, 8, 16, 2)
    assert as_it_is(tiled, image(21, 30)).shape == (1, 10, 15, 2)
    # Half of 1 is rounded to 0; one pixel is left.
    assert tiled.resized_size((1, 40)) == (1, 20)


def test_a_single_tile_is_the_whole_image():
    picture = image(8, 16)
    whole, tiled = (Tiler((8, 16), ALL[:2], tile=tile) for tile in (False, True))
    np.testing.assert_array_equal(as_it_is(whole, picture), as_it_is(tiled, picture))
    assert len(list(tiled.tiles(picture))) == 2


def test_window_by_hand():
    # Two rows: half a pixel from the rim each, of a half width of 1; columns .5 and 1.5 of 2.
    wanted = np.outer([0.5, 0.5], [0.25, 0.75, 0.75, 0.25])
    np.testing.assert_allclose(sliding_window.blending_weights((2, 4)), wanted)


def test_blending_by_hand():
    # Tiles of 4 columns on 6 start at 0 and 2. In column 2 the first tile's third weight, .75, meets the
    # second's first, .25; in column 3 it is the other way round.
    cutting = Tiler((2, 4), tile=True, overlap=0.5)
    said = iter([np.zeros((1, 2, 4, 1), np.float32), np.ones((1, 2, 4, 1), np.float32)])
    np.testing.assert_allclose(cutting.stitch((2, 6), said)[0, :, :, 0], [[0, 0, 0.25, 0.75, 1, 1]] * 2)
