"""Weights that nets start from: what fits, what is refused, and what a stage's digest has of them."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
from inference.handmade import SPECS, make_run
from user_errors import raises_user_error

from imjax.config.schema import Model
from imjax.errors import ErrorCode
from imjax.inference.checksums import compute_checksums
from imjax.inference.load_run import load_model
from imjax.json_io import read_json, write_json
from imjax.models import imagenet
from imjax.models.factory import create_backbone
from imjax.pipeline import initial_weights

SPEC = SPECS["binary"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("start") / "run", SPEC, ("train_g0",), (8, 16))


@pytest.fixture
def model(run):
    """The run's own net, to start from its weights."""
    return dataclasses.replace(load_model(run).model, weights=str(run))


def test_nets_of_a_run_are_taken_best_first(run, model):
    found = initial_weights.load(model, create_backbone(model, SPEC), SPEC, (8, 16))
    wanted = load_model(run).nets()
    assert len(found) == len(load_model(run).ranked) > 1
    for i, net in enumerate(found):
        jax.tree.map(lambda a, b, i=i: np.testing.assert_array_equal(a, b[i]), net, wanted)


def test_a_run_of_other_classes_gives_all_but_the_head(model):
    other = dataclasses.replace(SPEC, kind="multiclass", classes=("a", "b", "c"), palette=((0, 0, 0),) * 3)
    initial_weights.check(model)
    assert initial_weights.load(model, create_backbone(model, other), other, (8, 16))


def test_nets_of_another_width_are_refused(model):
    wide = dataclasses.replace(model, width=2.0)
    with raises_user_error(ErrorCode.CONFLICT, "model.weights") as info:
        initial_weights.load(wide, create_backbone(wide, SPEC), SPEC, (8, 16))
    assert "α there 1, here 2" in str(info.value)


def test_runs_that_do_not_do(run, tmp_path):
    with raises_user_error(ErrorCode.CONFLICT, "model.weights") as info:
        initial_weights.check(Model(weights=str(run)))
    assert "'unet_dropout'" in str(info.value) and "'unet_residual'" in str(info.value)
    with raises_user_error(ErrorCode.UNREADABLE, "nowhere/config.json"):
        initial_weights.check(Model(weights=str(tmp_path / "nowhere")))


def test_the_digest_is_of_the_nets_and_not_of_their_place(run, model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    first = initial_weights.digest(model)
    assert initial_weights.digest(dataclasses.replace(model, weights=str(copy))) == first != "none"
    changed = tmp_path / "changed"
    shutil.copytree(run, changed)
    (done,) = (changed / "stages").glob("*/DONE.json")
    largest = max(done.parent.rglob("nets/**/*"), key=lambda p: p.is_file() and p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[::-1])
    with raises_user_error(ErrorCode.DAMAGED, str(largest)):
        initial_weights.digest(dataclasses.replace(model, weights=str(changed)))
    # Other nets that are whole.
    record = read_json(done) | {"files": compute_checksums(done.parent)}
    write_json(done, record)
    assert initial_weights.digest(dataclasses.replace(model, weights=str(changed))) != first


def test_words(monkeypatch):
    lite = Model(backbone="efficientnet_lite0", weights="imagenet")
    net = create_backbone(lite, SPEC)
    assert initial_weights.load(Model(), net, SPEC, (8, 8)) == ()
    assert [initial_weights.digest(m) for m in (Model(), lite)] == ["none", "imagenet"]
    initial_weights.check(lite)
    (start,) = initial_weights.load(lite, net, dataclasses.replace(SPEC, channels=4), (8, 8))
    assert start["params"]["backbone"]["stem_conv"]["kernel"].shape == (3, 3, 4, 32)
    monkeypatch.setattr(imagenet.importlib.util, "find_spec", lambda name: None)
    with raises_user_error(ErrorCode.MISSING, "model.weights"):
        initial_weights.check(lite)
