"""LA's layout: written, real where there is a sample, and wrong in each of its ways."""

from __future__ import annotations

import dataclasses
import functools

import h5py
import numpy as np
import pytest
from complaints import assert_complaint
from user_errors import raises_user_error

from imjax.config.schema import Data
from imjax.data import pack, volume_box
from imjax.data.readers import left_atrium, registry
from imjax.data.spec import VOID
from imjax.data.synthetic import volumes, writers
from imjax.errors import ErrorCode

READER = left_atrium.La(0.25, 0.25)
SHAPE = (96, 128, volumes.DEPTH)

complains = functools.partial(assert_complaint, READER)


@pytest.fixture
def raw(copied):
    return copied("la")


def file_of(raw, case="train_00000"):
    return raw / left_atrium.FOLDER / case / left_atrium.FILE


def write(path, **arrays):
    """Replace arrays of a file."""
    with h5py.File(path, "a") as file:
        for name, array in arrays.items():
            del file[name]
            file[name] = array


def listed(raw, *cases, name="train.list"):
    (raw / name).write_text("\n".join(cases) + "\n")


def test_spec():
    assert left_atrium.SPEC.classes == ("background", "atrium") and left_atrium.SPEC.dims == 3
    assert left_atrium.SPEC.background and not left_atrium.SPEC.volumes and not left_atrium.SPEC.reserved
    assert (
        left_atrium.SPEC.channels,
        left_atrium.SPEC.primary_metric,
        left_atrium.SPEC.selection_metric,
    ) == (
        1,
        "dice",
        "hard_miou",
    )


def test_gray_levels_and_axes_by_hand(raw):
    # The window −2..6 is 8 wide: 255·2/8 = 63.75 for 0, 255·(1 + 2)/8 = 95.625 for 1; outside it clips.
    image = np.zeros((2, 3, 4), np.float32)
    image[0, :, 1] = (1.0, -2.5, 7.0)
    label = np.zeros((2, 3, 4), np.uint8)
    label[1, 2, 3] = 1
    write(file_of(raw), image=image, label=label)
    found, moved = READER.load(READER.scan(raw)["labeled"][0])
    assert found.shape == (4, 2, 3, 1) and moved.shape == (4, 2, 3)
    assert found[1, 0, :, 0].tolist() == [96, 0, 255] and (found[0] == 64).all()
    assert np.argwhere(moved).tolist() == [[3, 1, 2]]
    assert found.dtype == moved.dtype == np.uint8


def test_the_window_keeps_the_values_of_volumes_of_8_bits_apart():
    # 0.066 is the least step of the sample's volumes.
    low, high = left_atrium.WINDOW
    gray = np.round(255 * (np.arange(low, high, 0.066) - low) / (high - low))
    assert (np.diff(gray) >= 1).all() and gray.min() == 0 and gray.max() <= 255


@pytest.mark.parametrize(
    ("fractions", "labeled"),
    # Of eight: .1 is one; .3 · 8 = 2.4 is two; 1 leaves val its case. Val is one of the others.
    [((0.1, 0.1), "3"), ((0.3, 0.1), "31"), ((1.0, 0.1), "3142075"), ((1.0, 0.25), "314207")],
)
def test_the_first_cases_of_the_list_are_labeled(raw, fractions, labeled):
    for n in "31420756":
        file_of(raw, f"c{n}").parent.mkdir()
        file_of(raw, f"c{n}").write_bytes(b"")
    listed(raw, *(f"c{n}" for n in "31420756"))
    parts = left_atrium.La(*fractions).scan(raw)
    names = {part: {s.name[1:] for s in parts[part]} for part in ("labeled", "unlabeled", "val")}
    assert names["labeled"] == set(labeled) and parts["train"] == []
    assert len(names["val"]) == round(8 * fractions[1])
    assert names["val"] | names["unlabeled"] == set("01234567") - set(labeled)
    assert not names["val"] & names["unlabeled"]


def test_val_is_drawn_by_the_seed(raw):
    for n in range(30):
        file_of(raw, f"c{n}").parent.mkdir()
        file_of(raw, f"c{n}").write_bytes(b"")
    listed(raw, *(f"c{n}" for n in range(30)))
    options = Data("la", str(raw), depth=16, val_fraction=0.3)
    vals = [
        {s.name for s in registry.make(dataclasses.replace(options, split_seed=seed)).scan(raw)["val"]}
        for seed in (0, 0, 1)
    ]
    assert vals[0] == vals[1] != vals[2] and len(vals[0]) == 9


def test_packed_is_what_was_written(originals, tmp_path, caplog):
    raw = originals / "la"
    options = Data("la", str(raw), height=112, width=128, depth=32, label_fraction=0.25, val_fraction=0.25)
    packed = pack.load_packed(pack.prepare_dataset(options, tmp_path))
    assert packed.spec == left_atrium.SPEC and packed.spec.dims == 3
    counts = {name: len(split.images) for name, split in packed.splits.items()}
    assert counts == {"labeled": 1, "unlabeled": 2, "val": 1, "test": 2}
    for split in packed.splits.values():
        assert split.images.shape[1:] == (32, 112, 128, 1) and split.labels.shape[1:] == (32, 112, 128)
    reader, split = registry.make(options), packed.splits["test"]
    for i, sample in enumerate(reader.scan(raw)["test"]):
        image, label = reader.load(sample)
        assert split.names[i] == sample.name
        # 24 slices in 32, 96 rows in 112: 4 and 8 at both ends.
        inside = np.s_[i, 4:28, 8:104]
        assert (split.images[inside] == image).all() and (split.labels[inside] == label).all()
    entry = packed.manifest["splits"]["test"]
    assert entry["pixels"]["void"] == (split.labels == VOID).sum() == 2 * (32 * 112 - 24 * 96) * 128
    assert sum(entry["shares"].values()) == pytest.approx(1, abs=1e-5)
    assert "cut off" not in caplog.text


def test_a_box_too_small_is_said(originals, tmp_path, caplog):
    options = Data("la", str(originals / "la"), height=32, width=32, depth=16)
    packed = pack.load_packed(pack.prepare_dataset(options, tmp_path))
    assert packed.splits["test"].labels.shape[1:] == (16, 32, 32)
    assert "6 of 6 volumes, train_" in caplog.text and "enlarge data.depth" in caplog.text


def test_written_volumes_are_as_the_real_ones():
    image, label = volumes.draw_volume(np.random.default_rng(0), (64, 80))
    assert image.shape == label.shape == (volumes.DEPTH, 64, 80)
    assert image.dtype == np.float32 and set(np.unique(label)) == {0, 1}
    assert abs(image.mean()) < 1e-4 and image.std() == pytest.approx(1, abs=1e-4)
    assert len(np.unique(image)) <= volumes.LEVELS
    assert 0.03 < label.mean() < 0.15 and image[label == 1].mean() > 1
    assert left_atrium.WINDOW[0] < image.min() and image.max() < left_atrium.WINDOW[1]


def test_real_sample(real, tmp_path):
    # Two cases to train: one labeled, one val, none left.
    parts = left_atrium.La().scan(real / "la_heart")
    counts = {part: len(samples) for part, samples in parts.items()}
    assert counts == {"labeled": 1, "unlabeled": 0, "val": 1, "test": 1, "train": 0}
    (case,) = parts["labeled"]
    assert case.name == "8M99G0JLAXG9GLPV0O8G"
    image, label = READER.load(case)
    assert image.shape == (88, 148, 141, 1) and label.shape == (88, 148, 141)
    assert set(np.unique(label)) == {0, 1} and 0 < image.min() and image.max() < 255
    with h5py.File(case.image) as file:
        levels = len(np.unique(file["image"]))
    assert len(np.unique(image)) == levels == 54
    default = registry.DEFAULTS["la"]
    assert volume_box.cropped_foreground_voxels(label, (default["depth"], *default["size"])) == 0


def test_listed_case_missing(raw):
    file_of(raw).unlink()
    complains(raw, ErrorCode.MISSING, file_of(raw))


def test_too_few_cases(raw):
    listed(raw, "train_00000")
    complains(raw, ErrorCode.TOO_FEW, "train.list")


def test_case_on_two_sides(raw, tmp_path):
    listed(raw, "train_00000", name="test.list")
    with raises_user_error(ErrorCode.CONFLICT, "train_00000"):
        pack.prepare_dataset(Data("la", str(raw), height=32, width=32, depth=16), tmp_path / "cache")


def test_label_that_is_no_class(raw):
    write(file_of(raw), label=np.full(SHAPE, 2, np.uint8))
    complains(raw, ErrorCode.OUT_OF_RANGE, file_of(raw))


@pytest.mark.parametrize("label", [np.zeros((96, 128, 3), np.uint8), np.zeros((96, 128), np.uint8)])
def test_shapes_differ(raw, label):
    write(file_of(raw), label=label)
    complains(raw, ErrorCode.WRONG_TYPE, file_of(raw))


def test_a_slice_in_place_of_a_volume(raw):
    write(file_of(raw), image=np.zeros((96, 128), np.float32), label=np.zeros((96, 128), np.uint8))
    complains(raw, ErrorCode.WRONG_TYPE, file_of(raw))


def test_values_that_are_no_numbers(raw):
    write(file_of(raw), image=np.full(SHAPE, np.nan, np.float32))
    complains(raw, ErrorCode.OUT_OF_RANGE, file_of(raw))


@pytest.mark.parametrize("damage", ["truncated", "array"])
def test_damaged_file(raw, damage):
    path = file_of(raw)
    if damage == "array":
        with h5py.File(path, "a") as file:
            del file["label"]
    else:
        path.write_bytes(path.read_bytes()[:-200])
    complains(raw, ErrorCode.UNREADABLE, path)


def test_missing_and_empty(raw):
    listed(raw, "")
    complains(raw, ErrorCode.MISSING, "train.list")
    (raw / "test.list").unlink()
    complains(raw, ErrorCode.MISSING, "test.list")


def test_both_parts_are_written(tmp_path):
    writers.write_synthetic("la", tmp_path / "la", {"train": 3, "test": 1}, size=(16, 32))
    found = left_atrium.La().scan(tmp_path / "la")
    assert {part: len(samples) for part, samples in found.items() if samples} == {
        "labeled": 1, "unlabeled": 1, "val": 1, "test": 1,
    }  # fmt: skip
