"""Objects of masks: numbers, touching ones apart, measures, files; and predictions against drawn masks."""

import csv

import cv2
import numpy as np
import pytest
import tifffile
from handmade import SPECS, make_run
from user_errors import raises_user_error

from imjax.data import image_io
from imjax.errors import ErrorCode
from imjax.evaluation import objects
from imjax.inference import truth, writers
from imjax.inference.load_run import load_model
from imjax.inference.predict_folder import FolderPrediction
from imjax.inference.prediction import Prediction, list_object_classes

SIZE = (40, 60)


def discs(*circles, size=SIZE):
    """Bool plane with discs (row, column, radius)."""
    rows, columns = np.indices(size)
    plane = np.zeros(size, bool)
    for row, column, radius in circles:
        plane |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return plane


def prediction_of(spec, output):
    output = np.asarray(output, np.uint8)
    size = output.shape[:2]
    return Prediction(spec, output, np.zeros(size, bool), 1.0, np.zeros((*size, spec.outputs), np.float32))


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def test_touching_discs_are_two_objects_and_others_stay_whole():
    plane = discs((12, 12, 8), (12, 25, 7), (30, 45, 6))
    assert objects.label_objects(plane, split=False).max() == 2
    labels = objects.label_objects(plane)
    assert labels.max() == 3 and ((labels > 0) == plane).all()
    # Each disc has a number of its own at its middle, and the border lies in the neck.
    assert len({labels[12, 12], labels[12, 25], labels[30, 45]}) == 3
    assert abs((labels == labels[12, 12]).sum() - discs((12, 12, 8)).sum()) < 12
    # At any magnification; what waves by less than the ratio is one object, whatever its length.
    assert objects.label_objects(np.kron(plane, np.ones((3, 3), bool))).max() == 3
    wave = np.zeros(SIZE, bool)
    for column in range(5, 55):
        half = 6 if column % 9 < 5 else 7
        wave[20 - half : 20 + half, column] = True
    assert objects.label_objects(wave).max() == 1


def test_balls_are_taken_apart_in_volumes():
    grid = np.indices((17, 17, 30))
    balls = [((grid - np.array(at).reshape(3, 1, 1, 1)) ** 2).sum(0) <= 36 for at in ((8, 8, 8), (8, 8, 19))]
    classes = objects.label_classes([(1, "ball", balls[0] | balls[1])], True, 1)
    found = objects.measure_objects(classes, np.stack([balls[0], balls[1]], -1).astype(np.float32))
    assert [len(one.centroid) for one in found] == [3, 3] and np.isnan(found[0].eccentricity)
    assert sorted(round(one.mean_intensity[0]) for one in found) == [0, 1]


def test_measures_by_hand():
    plane = np.zeros((5, 6), bool)
    plane[1:3, 1:5] = plane[4, 0] = True
    image = np.arange(60, dtype=np.uint16).reshape(5, 6, 2) * 100
    block, corner = objects.measure_objects(objects.label_classes([(1, "cell", plane)], True, 1), image)
    assert (block.area, block.centroid, block.bbox) == (8, (1.5, 2.5), (1, 1, 3, 5))
    # Rows 1 and 2, columns 1 to 4: pixel 6 r + c has 200 (6 r + c) and 100 more; the mean place is 11.5.
    assert block.mean_intensity == (2300.0, 2400.0) and not block.touches_rim
    # Variances of the pixels' middles: 1/4 and 5/4.
    assert block.eccentricity == pytest.approx(np.sqrt(1 - 1 / 5))
    assert corner.touches_rim and corner.area == 1 and corner.label == 2
    (large,) = objects.measure_objects(objects.label_classes([(1, "cell", plane)], True, 2))
    assert large.label == 1 and large.area == 8


def test_instances_have_the_numbers_of_the_objects():
    output = [[0, 1, 1, 2], [0, 0, 0, 2]]
    found = prediction_of(SPECS["multiclass"], output)
    assert found.instances().tolist() == [[0, 1, 1, 2], [0, 0, 0, 2]]
    assert [(one.label, one.class_name) for one in found.objects()] == [(1, "ring"), (2, "core")]
    planes = np.stack([np.array(output) > 0, np.array(output) == 2], -1)
    found = prediction_of(SPECS["multilabel"], planes).instances()
    assert found[..., 0].tolist() == [[0, 1, 1, 1], [0, 0, 0, 1]]
    assert found[..., 1].tolist() == [[0, 0, 0, 2], [0, 0, 0, 2]]


@pytest.mark.parametrize(
    ("kind", "names"),
    [("binary", ["cell"]), ("multiclass", ["ring", "core"]), ("multilabel", ["alive", "dead/gone"])],
)
def test_classes_that_have_objects(kind, names):
    assert [name for _, name in list_object_classes(SPECS[kind])] == names


@pytest.mark.parametrize(("count", "dtype"), [(3, np.uint16), (70_000, np.uint32)])
def test_label_images_hold_every_number(count, dtype, tmp_path):
    labels = np.arange(count, dtype=np.int32).reshape(1, -1)
    writers.make_folders(SPECS["binary"], tmp_path)
    classes = [objects.LabeledClass(1, "cell", labels)]
    writers.write_instances(classes, prediction_of(SPECS["binary"], labels > 0), tmp_path, "a")
    stored = tifffile.imread(tmp_path / "instances" / "a.tif")
    assert stored.dtype == dtype and (stored == labels).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of 8 and of 16 bits."""
    folder = tmp_path_factory.mktemp("images")
    draw = np.random.default_rng(3)
    for i, name in enumerate("abc"):
        png(
            folder / f"{name}.png", draw.integers(0, 60_000 if i else 256, SIZE, np.uint16 if i else np.uint8)
        )
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {
        kind: load_model(make_run(root / kind, SPECS[kind], ("train_g0",)))
        for kind in ("binary", "multiclass", "multilabel")
    }


def predict(model, folder, out, **how):
    run = FolderPrediction(model, 1, model.make_tiler(), **how)
    run(image_io.find_images(folder), out)
    return run


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_files_of_a_folder_agree_with_each_other(kind, models, folder, tmp_path):
    model = models[kind]
    predict(model, folder, tmp_path)
    found = table(tmp_path / "objects.csv")
    assert found
    for row in table(tmp_path / "predictions.csv"):
        stem = row["file"].removesuffix(".png")
        rows = [one for one in found if one["file"] == row["file"]]
        names = [name for _, name in list_object_classes(model.spec)]
        counts = {name: sum(one["class"] == name for one in rows) for name in names}
        assert {name: int(row[f"objects_{name}"]) for name in names} == counts
        files = [
            tmp_path
            / "instances"
            / (writers.folder_name(name) if kind == "multilabel" else "")
            / f"{stem}.tif"
            for name in names
        ]
        numbers = [np.setdiff1d(tifffile.imread(path), [0]) for path in sorted(set(files))]
        assert sorted(np.concatenate(numbers)) == sorted(int(one["object"]) for one in rows)
        values = cv2.imread(str(folder / row["file"]), cv2.IMREAD_UNCHANGED)
        one, at = rows[0], tifffile.imread(files[0])
        inside = at == int(one["object"])
        column = "mean_intensity" if model.spec.channels == 1 else "mean_red"
        # As stored: 16 bits, not the 8 that the nets see.
        assert float(one[column]) == pytest.approx(values[inside].mean(), rel=1e-4)
        assert int(one["area"]) == inside.sum()


def test_predictions_against_themselves_and_against_nothing(models, folder, tmp_path):
    model = models["binary"]
    predict(model, folder, tmp_path / "first")
    again = predict(model, folder, tmp_path / "again", truth_folder=tmp_path / "first" / "instances")
    rows = table(tmp_path / "again" / "comparison.csv")
    assert (
        len(rows) == 4
        and rows[-1]["file"] == "mean"
        and "values number objects" in str(again.comparison._truth.describe())
    )
    assert all(float(row[key]) == 1 for row in rows for key in ("iou", "dice", "object_f1"))
    assert {float(row["count_error"]) for row in rows} == {0}
    with raises_user_error(ErrorCode.MISSING, "--truth"):
        predict(model, folder, tmp_path / "other", truth_folder=folder.parent / "nothing")


def compare(spec, output, folder, stem="a"):
    prediction = prediction_of(spec, output)
    comparison = truth.Comparison(truth.open_truth(folder, spec, [stem]), spec)
    comparison.add(f"{stem}.png", stem, prediction, prediction.label_classes())
    return comparison


def test_comparison_by_hand(tmp_path):
    # Truth: two objects of 4 and 2 pixels. Prediction: the first short of a pixel, and two beside the second.
    drawn = np.array([[1, 1, 0, 2, 0, 0], [1, 1, 0, 2, 0, 0]], np.uint16)
    png(tmp_path / "masks" / "a.png", drawn)
    found = compare(SPECS["binary"], [[1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1]], tmp_path / "masks")
    (row,) = found.rows
    assert (row["iou"], row["dice"]) == (3 / 8, 6 / 11)
    # One of two is found, and one is made up: 2 / (2 + 1 + 1).
    assert row["object_f1"] == 0.5 and (row["objects"], row["true_objects"], row["count_error"]) == (2, 2, 0)
    assert "object F1 0.500 (0.500 over all objects)" in found.describe()[0]


def test_a_file_per_nucleus_as_in_dsb2018(tmp_path):
    planes = [discs((10, 10, 6)), discs((10, 21, 6))]
    for i, plane in enumerate(planes):
        png(tmp_path / "a" / "masks" / f"{i}.png", plane.astype(np.uint8) * 255)
    (row,) = compare(SPECS["binary"], planes[0] | planes[1], tmp_path).rows
    assert row["true_objects"] == 2 and row["object_f1"] == 1
    with raises_user_error(ErrorCode.CONFLICT, "--truth"):
        truth.open_truth(tmp_path, SPECS["multiclass"], ["a"])


def test_masks_of_classes_name_the_nets_classes(tmp_path):
    mask = np.array([[0, 1, 1], [0, 2, 255]], np.uint8)
    png(tmp_path / "masks" / "a.png", mask)
    # Without names their order counts; 255 says nothing.
    rows = compare(SPECS["multiclass"], [[0, 1, 0], [0, 2, 2]], tmp_path / "masks").rows
    assert [(row["class"], row["iou"]) for row in rows] == [("ring", 0.5), ("core", 1.0)]
    (tmp_path / "classes.csv").write_text("name,id\nground,0\ncore,1\nring,2\n")
    rows = compare(SPECS["multiclass"], [[0, 2, 0], [0, 1, 1]], tmp_path / "masks").rows
    assert [(row["class"], row["iou"]) for row in rows] == [("ring", 1.0), ("core", 0.5)]
    (tmp_path / "classes.csv").write_text("name,id\nground,0\ncat,1\ndog,2\n")
    with raises_user_error(ErrorCode.CONFLICT, "--truth"):
        truth.open_truth(tmp_path / "masks", SPECS["multiclass"], ["a"])
    with raises_user_error(ErrorCode.MISSING, "--truth"):
        truth.open_truth(tmp_path / "masks", SPECS["binary"], ["zebra"])


def test_a_mask_of_another_size(tmp_path):
    png(tmp_path / "a.png", np.array([[0, 255]], np.uint8))
    with raises_user_error(ErrorCode.CONFLICT, "a.png"):
        compare(SPECS["binary"], [[0, 1], [0, 1]], tmp_path)
