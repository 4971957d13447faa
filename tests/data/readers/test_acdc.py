from __future__ import annotations

import functools

import h5py
import numpy as np
import pytest
from complaints import assert_complaint
from user_errors import raises_user_error

from imjax.config.schema import Data
from imjax.data import pack, preprocess
from imjax.data.readers import acdc, registry
from imjax.errors import ErrorCode

READER = acdc.Acdc()

complains = functools.partial(assert_complaint, READER)


@pytest.fixture
def raw(copied):
    return copied("acdc")


def slice_of(raw):
    return raw / "data" / "slices" / "patient001_frame01_slice_1.h5"


def write(path, image=None, label=None):
    """Replace arrays of a file."""
    with h5py.File(path, "a") as file:
        for name, array in (("image", image), ("label", label)):
            if array is not None:
                del file[name]
                file[name] = array


def listed(raw, *stems):
    (raw / "train_slices.list").write_text("\n".join(stems) + "\n")


def test_spec():
    assert acdc.SPEC.classes == ("background", "right ventricle", "myocardium", "left ventricle")
    assert acdc.SPEC.volumes and acdc.SPEC.background and not acdc.SPEC.reserved
    assert (acdc.SPEC.channels, acdc.SPEC.primary_metric) == (1, "dice")


def test_gray_levels_by_hand(raw):
    image = np.zeros((96, 128), np.float32)
    # 255 · 0.1 = 25.5 is rounded to the even 26; what is outside 0..1 is clipped.
    image[0, :6] = (0.0, 1.0, 0.1, 0.5 / 255 + 0.001, -0.2, 1.5)
    write(slice_of(raw), image)
    found, label = READER.load(READER.scan(raw)["labeled"][0])
    assert found[0, :6, 0].tolist() == [0, 255, 26, 1, 0, 255]
    assert found.shape == (96, 128, 1) and label.shape == (96, 128)
    assert found.dtype == label.dtype == np.uint8


def test_slices_train_and_volumes_test(raw):
    parts = READER.scan(raw)
    names = {part: [s.name for s in samples] for part, samples in parts.items()}
    assert names == {
        "labeled": ["patient001_frame01#001", "patient001_frame01#002"],
        "train": ["patient002_frame01#001", "patient002_frame01#002"],
        "val": ["patient801_frame01"],
        "test": ["patient901_frame01"],
    }
    assert {s.source for s in parts["labeled"]} == {"patient001"}
    image, label = READER.load(parts["test"][0])
    assert image.shape == (2, 96, 128, 1) and label.shape == (2, 96, 128)


@pytest.mark.parametrize(
    ("fraction", "labeled"),
    # Of four: 0.1 gives at least one; 0.4 · 4 = 1.6 is 2; below 1 at least one stays unlabeled.
    [(0.1, "3"), (0.4, "31"), (0.99, "314"), (1.0, "3142")],
)
def test_the_first_patients_of_the_list_are_labeled(raw, fraction, labeled):
    stems = [f"patient00{n}_frame01_slice_{z}" for n in "3142" for z in (2, 1)]
    for stem in stems:
        (raw / "data" / "slices" / f"{stem}.h5").write_bytes(slice_of(raw).read_bytes())
    listed(raw, *stems)
    parts = registry.make(Data("acdc", label_fraction=fraction)).scan(raw)
    assert {s.source[-1] for s in parts["labeled"]} == set(labeled)
    assert {s.source[-1] for s in parts["train"]} == set("3142") - set(labeled)
    assert len(parts["labeled"]) == 2 * len(labeled)


def test_stacks_are_packed_as_their_slices(raw, tmp_path):
    # Eleven slices, each of its own gray level: order and names must be those of the volume.
    image = np.broadcast_to(np.arange(11, dtype=np.float32)[:, None, None] / 255, (11, 40, 50))
    write(raw / "data" / "patient901_frame01.h5", image, np.full(image.shape, 2, np.uint8))
    options = Data("acdc", str(raw), height=32, width=48)
    splits = pack.load_packed(pack.prepare_dataset(options, tmp_path / "cache")).splits
    assert splits["test"].names == tuple(f"patient901_frame01#{i:03d}" for i in range(11))
    assert splits["test"].images[:, 0, 0, 0].tolist() == list(range(11))
    assert splits["test"].labels.shape == (11, 32, 48) and (splits["test"].labels == 2).all()
    assert set(splits["test"].sources) == {"patient901"}
    assert splits["val"].names == ("patient801_frame01#000", "patient801_frame01#001")
    assert splits["labeled"].names == ("patient001_frame01#001", "patient001_frame01#002")
    reader = registry.make(options)
    pair = reader.load(reader.scan(raw)["val"][0])
    for i, (_, *one) in enumerate(preprocess.iterate_slices(*pair, "")):
        ((image, label),) = preprocess.cut_crops(*one, "", options)
        assert (splits["val"].images[i] == image).all() and (splits["val"].labels[i] == label).all()


def test_crops_of_slices_are_numbered(raw, tmp_path):
    options = Data("acdc", str(raw), height=32, width=32, random_crops=2)
    splits = pack.load_packed(pack.prepare_dataset(options, tmp_path / "cache")).splits
    volume = "patient801_frame01"
    assert splits["val"].names == tuple(f"{volume}#{z:03d}#{i}" for z in range(2) for i in range(2))
    # Each slice has crops of its own.
    assert len({image.tobytes() for image in splits["val"].images}) == 4


def test_room_needed_counts_slices(raw, tmp_path, monkeypatch):
    def full(self, array):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("imjax.data.split_writer.ArrayWriter.add", full)
    with raises_user_error(ErrorCode.UNWRITABLE, tmp_path / "cache") as info:
        pack.prepare_dataset(Data("acdc", str(raw), height=512, width=512), tmp_path / "cache")
    # 4 slices and twice 2 in volumes, image and label of 512 x 512 bytes each: 8 · 2 · 1/4 MiB.
    assert " 4 MiB" in str(info.value)


def test_real_sample(real):
    parts = acdc.Acdc(3 / 14).scan(real / "acdc")
    counts = {part: (len(samples), len({s.source for s in samples})) for part, samples in parts.items()}
    # The first three patients are SSL4MIS's 68 slices.
    assert counts == {"labeled": (68, 3), "train": (188, 11), "val": (10, 5), "test": (20, 10)}
    image, label = READER.load(parts["test"][0])
    assert image.shape == (10, 256, 216, 1) and label.shape == (10, 256, 216)
    assert image.max() == 255 and image.min() == 0 and set(np.unique(label)) == {0, 1, 2, 3}
    image, label = READER.load(parts["labeled"][0])
    assert image.shape == (*label.shape, 1)


def test_listed_file_missing(raw):
    slice_of(raw).unlink()
    complains(raw, ErrorCode.MISSING, slice_of(raw))


def test_bad_line(raw):
    listed(raw, "patient001_frame01")
    complains(raw, ErrorCode.MALFORMED, "train_slices.list")


def test_patient_on_two_sides(raw, tmp_path):
    (raw / "test.list").write_text("patient801_frame01\n")
    with raises_user_error(ErrorCode.CONFLICT, "patient801"):
        pack.prepare_dataset(Data("acdc", str(raw), height=32, width=32), tmp_path / "cache")


def test_label_that_is_no_class(raw):
    write(slice_of(raw), label=np.full((96, 128), 4, np.uint8))
    complains(raw, ErrorCode.OUT_OF_RANGE, slice_of(raw))


def test_shapes_differ(raw):
    write(slice_of(raw), label=np.zeros((96, 120), np.uint8))
    complains(raw, ErrorCode.WRONG_TYPE, slice_of(raw))


def test_slice_in_place_of_a_volume(raw):
    (raw / "data" / "patient901_frame01.h5").write_bytes(slice_of(raw).read_bytes())
    complains(raw, ErrorCode.WRONG_TYPE, "patient901_frame01.h5")


def test_values_that_are_no_numbers(raw):
    write(slice_of(raw), np.full((96, 128), np.nan, np.float32))
    complains(raw, ErrorCode.OUT_OF_RANGE, slice_of(raw))


@pytest.mark.parametrize("damage", ["truncated", "empty", "array"])
def test_damaged_file(raw, damage):
    path = slice_of(raw)
    if damage == "array":
        with h5py.File(path, "a") as file:
            del file["label"]
    else:
        path.write_bytes(path.read_bytes()[: -200 if damage == "truncated" else 0])
    complains(raw, ErrorCode.UNREADABLE, path)


def test_missing_and_empty(raw):
    listed(raw, "")
    complains(raw, ErrorCode.MISSING, "train_slices.list")
    (raw / "val.list").unlink()
    complains(raw, ErrorCode.MISSING, "val.list")
