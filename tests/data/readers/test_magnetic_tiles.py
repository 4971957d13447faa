from __future__ import annotations

import functools
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest
from complaints import assert_complaint

from imjax.config.schema import Data
from imjax.data import pack, splits
from imjax.data.readers import magnetic_tiles
from imjax.errors import ErrorCode

READER = magnetic_tiles.MagneticTiles()

complains = functools.partial(assert_complaint, READER)


@pytest.fixture
def raw(copied):
    return copied("mt")


def mask_of(raw):
    return min(raw.glob("MT_Blowhole/Imgs/*.png"))


def photographs(raw, *names):
    """Put copies of one pair there, as `<type>/exp<k>_num_<n>`, in place of all others."""
    mask = min(raw.glob("MT_*/Imgs/*.png"))
    pair = [mask.with_suffix(".jpg").read_bytes(), mask.read_bytes()]
    shutil.rmtree(raw)
    for kind in magnetic_tiles.TYPES:
        (raw / f"MT_{kind}" / "Imgs").mkdir(parents=True)
    for name in names:
        kind, stem = name.split("/")
        for data, suffix in zip(pair, (".jpg", ".png"), strict=True):
            (raw / f"MT_{kind}" / "Imgs" / (stem + suffix)).write_bytes(data)


def regions(raw):
    """Sets of names, without `MT_`, that share a source."""
    found = {}
    for sample in READER.scan(raw)["train_val_test"]:
        found.setdefault(sample.source, set()).add(sample.name.removeprefix("MT_"))
    return sorted(map(sorted, found.values()))


def test_spec():
    assert magnetic_tiles.SPEC.classes == ("background", "blowhole", "break", "crack", "fray", "uneven")
    assert (
        magnetic_tiles.SPEC.background
        and not magnetic_tiles.SPEC.reserved
        and magnetic_tiles.SPEC.channels == 1
    )
    assert len(set(magnetic_tiles.SPEC.palette)) == 6 and magnetic_tiles.SPEC.splits == (
        "regions",
        "photographs",
    )


def test_gray_edges_are_cut_at_127_and_the_folder_is_the_class(raw):
    mask = np.zeros((96, 128), np.uint8)
    mask[0, :5] = (0, 1, 127, 128, 255)
    for kind, value in (("Free", 0), ("Blowhole", 1), ("Uneven", 5)):
        photographs(raw, f"{kind}/exp1_num_9")
        cv2.imwrite(str(raw / f"MT_{kind}" / "Imgs" / "exp1_num_9.png"), mask)
        image, label = READER.load(READER.scan(raw)["train_val_test"][0])
        assert label[0, :5].tolist() == [0, 0, 0, value, value] and label.sum() == 2 * value
        assert image.shape == (96, 128, 1) and image.dtype == label.dtype == np.uint8


def test_neighboring_photographs_are_of_one_region(raw):
    photographs(
        raw,
        # A chain through two folders, each at most 200 from the next though the ends are 350 apart.
        "Break/exp1_num_1000", "Free/exp2_num_1200", "Break/exp3_num_1350",
        # 201 further: another.
        "Free/exp1_num_1551",
        # The same number in two folders.
        "Fray/exp1_num_9000", "Crack/exp1_num_9000",
        # A defect photographed again, with another tile between; but not where 1301 lie between.
        "Crack/exp4_num_10300", "Free/exp2_num_9700", "Crack/exp4_num_11601",
        # Tiles without defect are told apart by the smaller distance only.
        "Free/exp1_num_20000", "Free/exp1_num_20201",
    )  # fmt: skip
    assert regions(raw) == [
        ["Break_exp1_num_1000", "Break_exp3_num_1350", "Free_exp2_num_1200"],
        ["Crack_exp1_num_9000", "Crack_exp4_num_10300", "Fray_exp1_num_9000"],
        ["Crack_exp4_num_11601"],
        ["Free_exp1_num_1551"],
        ["Free_exp1_num_20000"],
        ["Free_exp1_num_20201"],
        ["Free_exp2_num_9700"],
    ]


def test_real_sample(real):
    samples = READER.scan(real / "mt")["train_val_test"]
    kinds = Counter(s.name.split("_")[1] for s in samples)
    assert kinds == {"Blowhole": 97, "Break": 68, "Crack": 44, "Fray": 26, "Uneven": 85, "Free": 110}
    by_name = {s.name.removeprefix("MT_"): s for s in samples}
    sizes = Counter(s.source for s in samples)
    # 122 regions, most of those with a defect complete, in six settings.
    assert len(sizes) == 122 and Counter(sizes.values())[6] == 37 and max(sizes.values()) == 19
    for same in (
        ("Fray_exp2_num_77559", "Break_exp3_num_77583"),
        ("Crack_exp6_num_85665", "Crack_exp4_num_88149"),
    ):
        assert len({by_name[name].source for name in same}) == 1
    image, label = READER.load(by_name["Fray_exp2_num_77559"])
    assert image.shape == (*label.shape, 1) and set(np.unique(label)) == {0, 4}


@pytest.mark.parametrize("seed", range(3))
def test_every_type_is_in_every_part_of_a_split_by_region(real, seed):
    options = Data("mt", str(real / "mt"), label_fraction=0.4, split="regions", split_seed=seed)
    parts = splits.split_samples(options, READER.scan(real / "mt"))
    kinds = {name: {s.name.split("_")[1] for s in samples} for name, samples in parts.items()}
    assert all(found == set(magnetic_tiles.TYPES) for found in kinds.values()), kinds
    assert splits.count_leaked_test_images(parts) == 0


def test_photographs_for_themselves_have_twins_in_training_and_it_says_so(raw, tmp_path, caplog):
    names = [
        f"{kind}/exp{k}_num_{1000 * r + k}"
        for r, kind in enumerate(magnetic_tiles.TYPES[1:])
        for k in range(1, 7)
    ]
    photographs(raw, *names)
    options = Data("mt", str(raw), height=32, width=32, split="photographs", test_fraction=0.34)
    packed = pack.load_packed(pack.prepare_dataset(options, tmp_path / "cache"))
    # Of six photographs of each type two are test; all of a region's six are sources of their own.
    kinds = Counter(name.split("_")[1] for name in packed.splits["test"].names)
    assert kinds == dict.fromkeys(magnetic_tiles.TYPES[1:], 2)
    assert packed.manifest["test_images_seen_in_training"] == 10
    assert "10 of 10 test images" in caplog.text and "another split: regions" in caplog.text


def test_a_region_counts_for_its_rarest_type(raw):
    photographs(raw, "Break/exp1_num_1", "Free/exp2_num_2", "Free/exp1_num_900", "Crack/exp1_num_901",
                "Break/exp1_num_2000")  # fmt: skip
    # Two of Break and two of Free: the first by the alphabet.
    strata = {s.name.removeprefix("MT_"): s.stratum for s in READER.scan(raw)["train_val_test"]}
    assert strata == {
        "Break_exp1_num_1": "Break", "Free_exp2_num_2": "Break", "Break_exp1_num_2000": "Break",
        "Free_exp1_num_900": "Crack", "Crack_exp1_num_901": "Crack",
    }  # fmt: skip


def test_half_a_pair(raw):
    path = mask_of(raw)
    path.unlink()
    complains(raw, ErrorCode.MISSING, path.with_suffix(".jpg"))


def test_name_without_number(raw):
    path = mask_of(raw)
    for suffix in (".jpg", ".png"):
        path.with_suffix(suffix).rename(path.with_name("tile" + suffix))
    complains(raw, ErrorCode.MALFORMED, "tile.jpg")


def test_color_mask(raw):
    cv2.imwrite(str(mask_of(raw)), np.zeros((96, 128, 3), np.uint8))
    complains(raw, ErrorCode.WRONG_TYPE, mask_of(raw))


def test_sizes_differ(raw):
    cv2.imwrite(str(mask_of(raw)), np.zeros((96, 120), np.uint8))
    complains(raw, ErrorCode.CONFLICT, mask_of(raw))


def test_truncated(raw):
    path = mask_of(raw).with_suffix(".jpg")
    path.write_bytes(path.read_bytes()[:-60])
    complains(raw, ErrorCode.DAMAGED, path)


def test_missing_and_empty(raw):
    photographs(raw)
    complains(raw, ErrorCode.MISSING, raw)
    shutil.rmtree(raw / "MT_Fray")
    complains(raw, ErrorCode.MISSING, "MT_Fray/Imgs")
