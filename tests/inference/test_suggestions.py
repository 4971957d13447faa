"""Which images to mask next: order, variety, files that go back into the folder."""

import csv
import dataclasses
import os
import shutil

import numpy as np
import pytest
from data.folders import values, write
from handmade import make_run, spec
from user_errors import raises_user_error

import imjax
from imjax.config.schema import Data
from imjax.data import duplicates
from imjax.data.folder import check
from imjax.errors import ErrorCode
from imjax.inference import suggestions
from imjax.inference.image_scores import ImageScores
from imjax.inference.suggestions import Seen, choose_unlike

SPEC = spec("binary", ("foreground",))
SIZE = (12, 20)


def own_folder(raw, bare=6):
    """Four masks of 0 and 255 with names of their own, and images without one."""
    for i in range(4 + bare):
        name = f"cell{i}" if i < 4 else f"bare{i - 4}"
        write(raw / "images" / f"{name}.png", np.random.default_rng(i).integers(0, 256, (*SIZE, 3), np.uint8))
        if i < 4:
            write(raw / "masks" / f"{name}_mask.tif", values(0, 255, size=SIZE))
    return raw


def settings(raw):
    return Data("folder", str(raw), height=16, width=16, label_fraction=1.0, val_fraction=0.2)


def make(tmp_path, nets=3, **more):
    raw = own_folder(tmp_path / "raw", **more)
    data = dataclasses.asdict(settings(raw)) | {"height": 8, "width": 8}
    return raw, make_run(tmp_path / "run", SPEC, ("train_ldt",), nets=nets, method="ldt", data=data)


def problems(raw, tmp_path):
    return check.check_folder(settings(raw), tmp_path / "sheet.png", lambda samples, _: samples)[1]


@pytest.mark.parametrize("nets", [1, 3])
def test_suggestions_go_back_into_the_folder(nets, tmp_path):
    raw, run = make(tmp_path, nets)
    found = imjax.suggest(run, count=4)
    assert [one.score for one in found] == sorted(one.score for one in found)
    assert all(0 <= one.score <= 1 and one.overlay.is_file() for one in found)
    assert {one.image.stem[:4] for one in found} == {"bare"} and len({one.image for one in found}) == 4
    with (run / "suggestions" / "suggestions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [one.image.name for one in found]
    # In the folder's own format, and taken as its own.
    assert [one.mask.name for one in found] == [f"{one.image.stem}_mask.tif" for one in found]
    for one in found:
        shutil.move(one.mask, raw / "masks" / one.mask.name)
    assert problems(raw, tmp_path) == []
    # The next round: what has a mask by now is not asked for again.
    again = imjax.suggest(run, count=4)
    assert {one.image for one in again}.isdisjoint(one.image for one in found) and len(again) == 2


def test_new_images(tmp_path):
    _, run = make(tmp_path)
    (path,) = [write(tmp_path / "new" / "x.png", np.full((9, 9, 3), 50, np.uint8))]
    (one,) = imjax.suggest(run, tmp_path / "new", out=tmp_path / "out")
    assert one.image == path and one.mask == tmp_path / "out" / "masks" / "x_mask.tif"


def test_a_mask_that_is_being_corrected_is_kept(tmp_path):
    _, run = make(tmp_path)
    first, *_ = imjax.suggest(run, count=3)
    table = run / "suggestions" / "suggestions.csv"
    os.utime(first.mask, ns=(0, table.stat().st_mtime_ns + 10**9))
    with raises_user_error(ErrorCode.CONFLICT, "--out"):
        imjax.suggest(run, count=3)
    assert first.mask.is_file()


def test_what_cannot_be_suggested(tmp_path):
    raw, run = make(tmp_path, bare=1)
    with raises_user_error(ErrorCode.OUT_OF_RANGE, "--count"):
        imjax.suggest(run, count=0)
    drawn = tmp_path / "mine"
    write(drawn / "masks" / "a.png", values(0, 255))
    with raises_user_error(ErrorCode.CONFLICT, "--out"):
        imjax.suggest(run, out=drawn)
    write(raw / "masks" / "bare0_mask.tif", values(0, 255, size=SIZE))
    with raises_user_error(ErrorCode.MISSING, raw / "images"):
        imjax.suggest(run)
    shutil.rmtree(raw)
    with raises_user_error(ErrorCode.MISSING, raw):
        imjax.suggest(run)
    published = make_run(tmp_path / "published", SPEC, ("train_ldt",), method="ldt")
    with raises_user_error(ErrorCode.MISSING, "--images"):
        imjax.suggest(published)


def test_other_classes_than_the_nets_learned(tmp_path):
    raw, run = make(tmp_path)
    (raw / "classes.csv").write_text("name\nbackground\nbubble\n")
    with raises_user_error(ErrorCode.CONFLICT, raw / "masks"):
        imjax.suggest(run)


def seen(name, quality, thumbnail):
    return Seen(suggestions.Path(name), ImageScores(0.5, 0.5, 0.5, 0.5, 0.5), quality, thumbnail)


def test_near_copies_are_not_asked_for_twice():
    draw = np.random.default_rng(0)
    side = (duplicates.SIDE,) * 2
    scene, other, masked = draw.uniform(0, 255, (3, *side)).astype(np.float32)
    copies = [seen(f"copy{i}", 0.1 + i / 100, np.rot90(scene, i) + 0.3) for i in range(4)]
    known = seen("of a mask", 0.05, masked[:, ::-1] + 0.2)
    chosen = choose_unlike([*copies, known, seen("other", 0.6, other)], [masked], 10)
    assert [one.image.name for one in chosen] == ["copy0", "other"]


def test_of_equally_bad_images_unlike_ones_are_taken():
    """Two groups of three frames each, of one film: not all from the worse group."""
    draw = np.random.default_rng(1)
    groups = draw.uniform(0, 255, (2, duplicates.SIDE, duplicates.SIDE))
    frames = [
        seen(f"{g}{i}", 0.2 + g / 100, (groups[g] + draw.normal(0, 8, groups[g].shape)).astype(np.float32))
        for g in range(2)
        for i in range(3)
    ]
    chosen = choose_unlike(frames, [], 2)
    assert {one.image.name[0] for one in chosen} == {"0", "1"}
    assert choose_unlike([], [], 2) == []
