"""TrainedModel: images of any size in, predictions out, the same as the command writes."""

import cv2
import numpy as np
import pytest
from handmade import MASK, SPECS, make_run
from PIL import Image
from user_errors import raises_user_error

import imjax
from imjax.config.schema import Mask
from imjax.data import image_io
from imjax.errors import ErrorCode
from imjax.inference.predict_folder import FolderPrediction
from imjax.inference.prediction import Prediction, make_prediction
from imjax.inference.writers import folder_name

SIZES = ((5, 7), (8, 8), (9, 30), (40, 6))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model of each kind of label."""
    root = tmp_path_factory.mktemp("runs")
    return {
        kind: imjax.load(make_run(root / kind, spec, ("train_g0",), nets=3)) for kind, spec in SPECS.items()
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images of different sizes, gray and color."""
    folder, draw = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        pixels = draw.integers(0, 256, (*size, 3) if number % 2 else size, np.uint8)
        (folder / f"{number}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return sorted(folder.iterdir())


def png(path):
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)


def written_mask(spec, out, stem):
    """The mask that the command wrote, as labels."""
    if spec.kind == "multiclass":
        # The indices of its palette.
        return np.asarray(Image.open(out / "masks" / f"{stem}.png"))
    if spec.kind == "binary":
        return png(out / "masks" / f"{stem}.png") // 255
    planes = [png(out / "masks" / folder_name(name) / f"{stem}.png") for name in spec.classes]
    return np.stack(planes, -1) // 255


@pytest.mark.parametrize("how", [{}, {"tile": True, "overlap": 0.5, "scale": 0.7}, {"flips": True}], ids=str)
@pytest.mark.parametrize("kind", SPECS)
def test_predictions_are_what_the_command_writes(kind, how, models, files, tmp_path):
    model = models[kind]
    run = FolderPrediction(model, 2, model.make_tiler(**how))
    run(files, tmp_path)
    rows = {row["file"]: row for row in run.rows}
    batch = model.predict_batch(files, nets=2, **how)
    for path, size, of_batch in zip(files, SIZES, batch, strict=True):
        for prediction in (of_batch, model.predict(path, nets=2, **how)):
            mask = written_mask(model.spec, tmp_path, path.stem)
            assert prediction.mask.dtype == np.uint8 and prediction.mask.shape[:2] == size
            np.testing.assert_array_equal(prediction.mask, mask)
            written = png(tmp_path / "inconsistency" / path.name)
            np.testing.assert_array_equal(prediction.inconsistency, written > 0)
            assert prediction.inconsistency.dtype == bool
            assert round(prediction.confidence, 6) == pytest.approx(rows[path.name]["confidence"], abs=2e-6)


@pytest.mark.parametrize("kind", SPECS)
def test_arrays_are_as_good_as_files(kind, models, files):
    model = models[kind]
    for path in files:
        of_file = model.predict(str(path))
        pixels = png(path)
        array = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
        for image in (array, array[..., None] if array.ndim == 2 else with_alpha(array)):
            of_array = model.predict(image)
            np.testing.assert_array_equal(of_array.mask, of_file.mask)
            np.testing.assert_array_equal(of_array.probabilities, of_file.probabilities)


def with_alpha(image):
    return np.concatenate([image, np.full_like(image[..., :1], 7)], -1)


@pytest.mark.parametrize("kind", SPECS)
def test_probabilities_are_of_the_datasets_own_classes(kind, models, files):
    spec = models[kind].spec
    prediction = models[kind].predict(files[2], nets=3)
    found = prediction.probabilities
    assert found.dtype == np.float32 and found.shape == (*SIZES[2], len(prediction.classes))
    assert prediction.classes == spec.classes[int(spec.reserved) :]
    if spec.kind == "multiclass":
        np.testing.assert_array_equal(prediction.mask, found.argmax(-1))
        total = found.sum(-1)
        assert (total < 1 + 1e-5).all() and (spec.reserved or np.allclose(total, 1, atol=1e-5))
    elif spec.kind == "binary":
        np.testing.assert_array_equal(prediction.mask, found[..., 0] > 0.5)
    else:
        np.testing.assert_array_equal(prediction.mask, found >= 0.5)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((0, 4), np.uint8),
    ],
)
def test_other_arrays_are_refused(image, models):
    with raises_user_error(ErrorCode.WRONG_TYPE, "image"):
        models["multiclass"].predict(image)


def test_a_file_that_cannot_be_read_is_named(models, tmp_path):
    with raises_user_error(ErrorCode.MISSING, tmp_path / "nothing.png"):
        models["multiclass"].predict(tmp_path / "nothing.png")


@pytest.mark.parametrize(
    ("how", "code", "field"),
    [
        ({"overlap": 1.0}, ErrorCode.OUT_OF_RANGE, "overlap"),
        ({"scale": 0.0, "tile": True}, ErrorCode.OUT_OF_RANGE, "scale"),
        ({"scale": 0.5}, ErrorCode.CONFLICT, "scale"),
        ({"nets": 4}, ErrorCode.OUT_OF_RANGE, "nets"),
    ],
)
def test_arguments_out_of_range_are_refused(how, code, field, models, files):
    with raises_user_error(code, field):
        models["binary"].predict(files[0], **how)


def test_color_becomes_gray_as_in_files():
    color = np.random.default_rng(3).integers(0, 256, (4, 5, 3), np.uint8)
    gray = image_io.convert_array(color, 1)
    # ITU-R BT.601 luma, as OpenCV and the datasets' readers take it.
    luma = color @ np.array([0.299, 0.587, 0.114])
    assert gray.shape == (4, 5, 1) and np.abs(gray[..., 0] - luma).max() <= 1
    assert (image_io.convert_array(gray, 3) == gray).all()


def prediction_of(kind, output):
    output = np.array(output, np.uint8)
    canvas = np.zeros((*output.shape[:2], SPECS[kind].outputs), np.float32)
    return Prediction(SPECS[kind], output, np.zeros(output.shape[:2], bool), 1.0, canvas)


def test_objects_by_hand():
    found = prediction_of("binary", [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]]).objects()
    # The first two pixels touch at a corner.
    assert [one[:6] for one in found] == [
        (1, 1, "cell", 2, (0.5, 0.5), (0, 0, 2, 2)),
        (2, 1, "cell", 2, (1.5, 3.0), (1, 3, 3, 4)),
    ]
    assert all(one.touches_rim and one.mean_intensity == () for one in found)
    assert not prediction_of("binary", [[1, 0]]).objects(min_area=2)
    assert not prediction_of("binary", [[0, 0]]).objects()


def test_objects_of_several_classes():
    # Class 0 is the background here, and two classes beside each other are two objects.
    found = prediction_of("multiclass", [[0, 1, 2, 2]]).objects()
    assert [(o.label, o.class_index, o.class_name, o.area) for o in found] == [
        (1, 1, "ring", 1),
        (2, 2, "core", 2),
    ]
    # The reserved output is no class: outputs 1 and 2 are the dataset's 0 and 1.
    found = prediction_of("reserved", [[1, 2]]).objects()
    assert [(o.class_index, o.class_name) for o in found] == [(0, "sky"), (1, "sea, deep")]
    # Labels of one pixel may overlap.
    found = prediction_of("multilabel", [[[1, 1], [0, 1]]]).objects()
    assert [(o.class_index, o.class_name, o.area) for o in found] == [(0, "alive", 1), (1, "dead/gone", 2)]


def test_the_best_nets_decide_and_all_that_are_asked_disagree():
    # One pixel: the best net is sure of the foreground, the second of the background.
    canvas = np.array([0.9, 0.05], np.float32).reshape(2, 1, 1, 1)
    made = [make_prediction(SPECS["binary"], Mask(**MASK), canvas, (1, 1), nets) for nets in (1, 2)]
    assert [int(one.mask[0, 0]) for one in made] == [1, 0]
    assert all(one.inconsistency.all() for one in made)
