"""Predictions for new images: every kind of label, sizes, folders, the table, the command."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from handmade import MASK, SPECS, make_run, net, variables
from PIL import Image
from user_errors import raises_user_error

from imjax.config.schema import Mask
from imjax.data import image_io, preprocess
from imjax.data.image_meaning import ImageReading
from imjax.errors import ErrorCode
from imjax.inference import predict_folder, prediction, sliding_window, writers
from imjax.inference.load_run import load_model
from imjax.inference.sliding_window import Tiler
from imjax.ops import ensemble

ROOT = Path(__file__).parents[2]
FILES = {"small one.png": (5, 7), "grün.TIF": (8, 8), "wide.jpg": (9, 30), "tall.bmp": (40, 6)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four images of different sizes and channels."""
    folder = tmp_path_factory.mktemp("images")
    draw = np.random.default_rng(0)
    for i, (name, size) in enumerate(FILES.items()):
        channels = (3,) if i % 2 else ()
        data = cv2.imencode(Path(name).suffix.lower(), draw.integers(0, 256, (*size, *channels), np.uint8))[1]
        (folder / name).write_bytes(data.tobytes())
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each kind of label."""
    root = tmp_path_factory.mktemp("runs")
    return {kind: make_run(root / kind, spec, ("train_g0",)) for kind, spec in SPECS.items()}


def predict(workdir, folder, out, nets=1, **cutting):
    stage = load_model(workdir)
    run = predict_folder.FolderPrediction(stage, nets, Tiler(stage.size, **cutting))
    run(image_io.find_images(folder), out)
    return run


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def png(path):
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)


def said(spec, path):
    """Probabilities of the two nets, best first, at the nets' size: the module itself, without the engine."""
    small = preprocess.resize_image(ImageReading(spec.channels).load(path).pixels, (8, 8))
    small = jnp.asarray(small)[None]
    # The second in the file is the best.
    each = [{part: of_net(tree, i) for part, tree in variables(0, spec, (8, 8), 2).items()} for i in (1, 0)]
    found = [ensemble.probabilities(spec.kind, net(spec.outputs).apply(one, small))[0] for one in each]
    return np.stack(found)


def of_net(tree, i):
    return {key: of_net(value, i) if isinstance(value, dict) else value[i] for key, value in tree.items()}


def resized(probabilities, size):
    return cv2.resize(probabilities, size[::-1], interpolation=cv2.INTER_LINEAR).reshape(*size, -1)


@pytest.mark.parametrize("kind", SPECS)
def test_masks_are_the_nets_own(kind, runs, folder, tmp_path):
    spec, nets = SPECS[kind], 2
    run = predict(runs[kind], folder, tmp_path, nets)
    assert not run.failed
    by_name = {row["file"]: row for row in table(tmp_path / "predictions.csv")}
    for name, size in FILES.items():
        stem, own = Path(name).stem, said(spec, folder / name)
        mean = resized(own.mean(0), size)
        wanted = np.asarray(
            ensemble.probabilities_to_label(spec.kind, jnp.asarray(mean[..., int(spec.reserved) :]))
        )
        if kind == "multilabel":
            masks = np.stack(
                [png(tmp_path / "masks" / n / f"{stem}.png") for n in ("alive", "dead_gone")], -1
            )
        else:
            masks = np.asarray(Image.open(tmp_path / "masks" / f"{stem}.png"))
        assert masks.dtype == np.uint8 and masks.shape[:2] == size
        # A probability on the edge may fall to either side after another summation.
        assert (masks == wanted * (1 if spec.kind == "multiclass" else 255)).mean() > 0.99
        labels = np.stack(
            [np.asarray(ensemble.probabilities_to_label(spec.kind, jnp.asarray(one))) for one in own]
        )
        differ = (labels[0] != labels[1]).reshape(8, 8, -1).any(-1)
        differ |= (labels == 0).all(0) if spec.reserved else np.zeros((8, 8), bool)
        mask = png(tmp_path / "inconsistency" / f"{stem}.png")
        np.testing.assert_array_equal(mask, 255 * preprocess.resize_label(differ.astype(np.uint8), size))
        assert by_name[name]["inconsistent_share"] == str(round(float((mask > 0).mean()), 6))
        for picture in ("colour", "overlay"):
            assert png(tmp_path / picture / f"{stem}.png").shape == (*size, 3)
    shares = [key for key in by_name["wide.jpg"] if key.startswith("share_")]
    assert shares == [f"share_{name}" for name in spec.classes[int(spec.reserved) :]]
    if spec.kind == "multiclass":
        assert sum(float(by_name["wide.jpg"][key]) for key in shares) == pytest.approx(1, abs=1e-5)


def test_classes_are_the_datasets_own():
    rows = {kind: writers.class_table(spec) for kind, spec in SPECS.items()}
    assert [(row["index"], row["name"]) for row in rows["reserved"]] == [
        (0, "sky"),
        (1, "sea, deep"),
        (2, "sand"),
    ]
    assert rows["reserved"][0]["color"] == "#282828"
    assert [(row["index"], row["name"]) for row in rows["binary"]] == [(0, "background"), (255, "cell")]
    assert [row["index"] for row in rows["multiclass"]] == [0, 1, 2]


def test_the_reserved_class_is_no_answer():
    # .5 and .8 for the reserved class: of the others the second has most, .3, and the third, .15.
    probabilities = np.array([[[0.5, 0.1, 0.3, 0.1], [0.8, 0.0, 0.05, 0.15]]], np.float32)
    label = prediction.decide_output(SPECS["reserved"], probabilities, (1, 2))
    assert label.tolist() == [[2, 3]]


def test_decisions_by_hand():
    # Binary: .5 is no foreground. Multilabel: .5 is.
    binary = np.array([0.5, 0.9, 0.2], np.float32).reshape(1, 3, 1)
    label = prediction.decide_output(SPECS["binary"], binary, (1, 3))
    assert label.tolist() == [[0, 1, 0]]
    both = np.array([[[0.5, 0.1]]], np.float32)
    label = prediction.decide_output(SPECS["multilabel"], both, (1, 1))
    assert label.tolist() == [[[1, 0]]]


def test_inconsistency_by_hand():
    # Pixels: both class 1; 1 against 2; both reserved. Enlarged twice in width.
    one = [[0.1, 0.9, 0, 0], [0.1, 0.9, 0, 0], [0.9, 0.1, 0, 0]]
    two = [[0.2, 0.8, 0, 0], [0.1, 0.0, 0.9, 0], [0.6, 0.4, 0, 0]]
    probabilities = np.array([one, two], np.float32)[:, None]
    settings = SPECS["reserved"], Mask(**MASK)
    mask = prediction.inconsistency_mask(*settings, probabilities, (1, 6))
    assert mask.tolist() == [[False, False, True, True, True, True]]
    # One net disagrees with nobody.
    assert not prediction.inconsistency_mask(*settings, probabilities[:1], (1, 6)).any()
    # The run's own kernels: dilated by 3, the first pixel is in it.
    wide = Mask(**MASK | {"dilate": 3})
    assert prediction.inconsistency_mask(settings[0], wide, probabilities, (1, 6)).all()


def test_results_of_an_earlier_call_do_not_lie_among_new_ones(runs, folder, tmp_path):
    one, out = tmp_path / "one", tmp_path / "out"
    one.mkdir()
    shutil.copy(folder / "wide.jpg", one / "wide.jpg")
    predict(runs["binary"], folder, out)
    kept = (out / "predictions.csv").read_bytes()
    with raises_user_error(ErrorCode.CONFLICT, "--out"):
        predict(runs["binary"], one, out)
    assert (out / "predictions.csv").read_bytes() == kept and len(list((out / "masks").iterdir())) == 4
    # The same images: the masks are made anew, and what cannot be read this time has none.
    (one / "wide.jpg").write_bytes(b"no image")
    for name in set(FILES) - {"wide.jpg"}:
        shutil.copy(folder / name, one / name)
    assert len(predict(runs["binary"], one, out).failed) == 1
    assert not (out / "masks" / "wide.png").exists() and len(list((out / "masks").iterdir())) == 3
    assert {row["file"] for row in table(out / "predictions.csv")} == set(FILES) - {"wide.jpg"}


def test_one_image_will_do(runs, folder, tmp_path, quick_environment):
    done = command(
        quick_environment, f"--workdir={runs['binary']}", f"--images={folder / 'wide.jpg'}",
        f"--out={tmp_path / 'out'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [row["file"] for row in table(tmp_path / "out" / "predictions.csv")] == ["wide.jpg"]


def test_masks_drawn_by_hand_are_never_replaced(runs, folder, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "wide.png").write_bytes(b"drawn")
    (tmp_path / "predictions.csv").write_text("name,score\n")
    with raises_user_error(ErrorCode.CONFLICT, "--out"):
        predict(runs["binary"], folder, tmp_path)
    assert (tmp_path / "masks" / "wide.png").read_bytes() == b"drawn"


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_scales_that_cannot_be(scale, runs):
    with raises_user_error(ErrorCode.OUT_OF_RANGE, "scale"):
        load_model(runs["binary"]).make_tiler(True, scale=scale)


def test_a_scale_that_makes_an_image_too_large():
    with raises_user_error(ErrorCode.OUT_OF_RANGE, "scale"):
        Tiler((8, 8), tile=True, scale=60.0).tile_corners((1000, 1000))


def test_what_to_label_next_comes_first():
    rows = [
        {"file": name, "inconsistent_share": share, "confidence": sure}
        for name, share, sure in (("a", 0.1, 0.9), ("b", 0.3, 0.9), ("c", 0.1, 0.5), ("d", 0.1, 0.5))
    ]
    assert [row["file"] for row in writers.rank_for_labeling(rows)] == ["c", "d", "b", "a"]


def test_overlay_shows_objects_only():
    image = np.full((1, 2, 1), 100, np.uint8)
    label = np.array([[0, 1]], np.uint8)
    color = np.array([[[255] * 3, [40] * 3]], np.uint8)
    # (100 + 40 + 1) // 2 = 70; class 0 is a background here and stays.
    found = writers.overlay(SPECS["multiclass"], image, label, color)
    assert found.tolist() == [[[100] * 3, [70] * 3]]
    # Without a background every class is an object: (100 + 255 + 1) // 2 = 178.
    assert writers.overlay(SPECS["reserved"], image, label, color)[0, 0].tolist() == [178] * 3


def test_a_single_tile_and_the_whole_image_agree(runs, tmp_path):
    only = tmp_path / "images"
    only.mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    (only / "a.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    for out, tile in (("whole", False), ("tiled", True)):
        predict(runs["multiclass"], only, tmp_path / out, tile=tile)
    for name in ("masks/a.png", "inconsistency/a.png", "predictions.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "tiled" / name).read_bytes()


def test_tiles_cover_every_image(runs, folder, tmp_path):
    run = predict(runs["binary"], folder, tmp_path, tile=True, overlap=0.5, scale=0.7)
    assert len(run.rows) == 4
    for name, size in FILES.items():
        assert png(tmp_path / "masks" / f"{Path(name).stem}.png").shape == size


def test_with_flips_a_turned_image_has_a_turned_answer(runs):
    stage = load_model(runs["multilabel"])
    cutting = Tiler(stage.size, sliding_window.symmetries(stage.spec, stage.size))
    image = np.random.default_rng(2).integers(0, 256, (8, 8, 3), np.uint8)
    turned = np.rot90(image[:, ::-1])

    def ask(picture):
        (prediction,) = stage.predict_stream([picture], cutting, 2)
        return prediction.probabilities

    np.testing.assert_allclose(ask(turned), np.rot90(ask(image)[:, ::-1]), atol=1e-5)


def test_number_of_nets(runs, tmp_path):
    stage = load_model(runs["binary"])
    assert (stage.count_nets(1), stage.count_nets(2)) == (2, 2)
    for nets in (0, 3):
        with raises_user_error(ErrorCode.OUT_OF_RANGE, "nets"):
            stage.count_nets(nets)
    single = make_run(tmp_path / "single", SPECS["binary"], ("train_g0",), nets=1)
    assert load_model(single).count_nets(1) == 1


def test_results_stay_out_of_the_images(tmp_path):
    with raises_user_error(ErrorCode.CONFLICT, "--out"):
        predict_folder.check_folders(tmp_path, tmp_path / "out")
    with raises_user_error(ErrorCode.CONFLICT, "--images"):
        predict_folder.check_folders(tmp_path / "masks", tmp_path)
    predict_folder.check_folders(tmp_path / "images", tmp_path)


def command(environment, *flags):
    line = [sys.executable, "-m", "imjax.predict", *flags]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


def test_the_command_on_a_copied_run_with_a_bad_file(runs, folder, tmp_path, quick_environment):
    # Only what is needed, elsewhere, and not to be written to.
    stage = tmp_path / "copy" / "stages" / "00_train_g0"
    shutil.copytree(runs["reserved"] / "stages" / "00_train_g0", stage)
    shutil.copy(runs["reserved"] / "config.json", tmp_path / "copy")
    before = sorted((tmp_path / "copy").rglob("*"))
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    (mixed / "broken.png").write_bytes(b"\x89PNG no more")
    done = command(
        quick_environment,
        f"--workdir={tmp_path / 'copy'}",
        f"--images={mixed}",
        f"--out={tmp_path / 'out'}",
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "1 of 5 files could not be read" in done.stderr and "broken.png: truncated" in done.stderr
    assert "4 images predicted" in done.stdout
    rows = table(tmp_path / "out" / "predictions.csv")
    confidence = [float(row["confidence"]) for row in rows]
    assert {row["file"] for row in rows} == set(FILES) and confidence == sorted(confidence)
    assert sorted((tmp_path / "copy").rglob("*")) == before


def test_nets_of_crops_get_tiles(runs, tmp_path):
    """A grid of crops has the images' own pixels, random ones (SUIM) have not."""
    cases = (
        ({"resize_mode": "crop"}, True),
        ({"tile_overlap": 0.3}, True),
        ({"random_crops": 4, "resize_mode": "crop"}, False),
    )
    for number, (data, tiled) in enumerate(((({}), False), *cases)):
        copy = tmp_path / str(number)
        shutil.copytree(runs["binary"], copy)
        record = json.loads((copy / "config.json").read_text())
        record["config"]["data"] |= data
        (copy / "config.json").write_text(json.dumps(record))
        stage = load_model(copy)
        assert (stage.inputs.is_grid, stage.inputs.is_cropped) == (tiled, bool(data))


def test_images_come_as_in_training(runs, folder, tmp_path, quick_environment):
    copy = shutil.copytree(runs["binary"], tmp_path / "copy")
    record = json.loads((copy / "config.json").read_text())
    masks = {}
    for name, data in (
        ("plain", {}),
        ("stretched", {"percentile_normalize": True}),
        ("padded", {"resize_mode": "pad"}),
    ):
        (copy / "config.json").write_text(
            json.dumps(record | {"config": record["config"] | {"data": record["config"]["data"] | data}})
        )
        done = command(
            quick_environment, f"--workdir={copy}", f"--images={folder}", f"--out={tmp_path / name}",
            f"--export={tmp_path / name}.stablehlo",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        sidecar = json.loads((tmp_path / f"{name}.json").read_text())
        stretched = sidecar["stretch_percentiles"] is not None
        assert ("one range" in done.stderr) == (name == "stretched") == stretched
        assert ("the middle of" in done.stderr) == (name == "padded") == (sidecar["fit"] == "pad")
        masks[name] = [path.read_bytes() for path in sorted((tmp_path / name / "colour").iterdir())]
    assert len({tuple(each) for each in masks.values()}) == 3


def test_help_and_slips(command_environment, runs, folder, tmp_path):
    shown = command(command_environment, "--help").stdout
    assert "worth labeling next" in shown and "--export" in shown
    for flags, says in (
        ((), "--workdir is missing"),
        (("--workdir=x", "--images=y"), "--out is missing"),
        (
            (f"--workdir={runs['binary']}", f"--images={folder}", f"--out={tmp_path / 'z'}", "--scale=0.5"),
            "--scale=0.5 is for tiles",
        ),
        ((f"--workdir={tmp_path}", "--export=z"), "expected the folder of a run"),
        (("--workdir=", f"--images={folder}", f"--out={tmp_path / 'z'}"), "--workdir is empty"),
        (("--workdir=x", f"--images={folder}", "--out=z", "--scale=nan"), "--scale=nan: expected"),
    ):
        done = command(command_environment, *flags)
        assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
