"""Sweeps: which runs they are made of, and slips in naming them."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from user_errors import raises_user_error

from imjax.config.sweeps import SWEEPS
from imjax.errors import ErrorCode
from imjax.ops import inconsistency
from launch.grid import make_points

IM = "configs/camvid_im.py:tiny"
LDT = "configs/camvid_ldt.py:small"


def points(*sweeps, configs=(LDT,), settings=(), root="."):
    return make_points(configs, sweeps, settings, Path(root))


def test_without_sweeps_each_configuration_is_a_run(tmp_path):
    found = points(configs=(LDT, IM), root=tmp_path)
    assert [p.name for p in found] == ["camvid_ldt-small", "camvid_im-tiny"]
    assert found[0].flags == (f"--config={LDT}",) and found[0].workdir == tmp_path / "camvid_ldt-small"


def test_sweeps_are_combined_and_reach_the_configuration():
    found = points("seed:3,4", "n:1,2", configs=(IM, LDT))
    assert len(found) == 8 and len({p.workdir for p in found}) == 8
    assert found[0].name == "camvid_im-tiny-seed=3-n=1"
    assert [(p.config.seed, p.config.ensemble.members) for p in found[::2]] == [
        (3, 1),
        (3, 2),
        (4, 1),
        (4, 2),
    ]


@pytest.mark.parametrize("name", SWEEPS)
def test_every_named_sweep_makes_runs_that_differ(name):
    # Weightings are for joint methods.
    name_of_config = "acdc_cps" if name == "weighting" else "suim_im_pp"
    found = points(name, configs=(f"configs/{name_of_config}.py",))
    assert [p.name.split(f"{name}=")[1] for p in found] == list(SWEEPS[name])
    assert len({p.config for p in found}) == len(found)


def test_block_sweep_sets_both_keys():
    found = {p.name[-6:]: p.config.mask for p in points("block")}
    assert not found["output"].zero_image and found["output"].zero_label


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_block_sweeps_points_are_four_different_sets(kind):
    """Without dilation the consensus is 0 under the mask already, and cutting it changes nothing."""
    members = np.zeros((2, 9, 9), np.uint8)
    members[:, 2:7, 2:7], members[0, 4, 4] = 1, 0
    image = np.full((9, 9, 3), 7, np.uint8)

    def made(mask):
        pair = inconsistency.make_pseudo_label(kind, jnp.asarray(members), classes=2, dilate=mask.dilate)
        cut = inconsistency.block(
            jnp.asarray(image), pair.label, pair.inconsistent,
            zero_image=mask.zero_image, zero_label=mask.zero_label,
        )  # fmt: skip
        return tuple(np.asarray(part).tobytes() for part in cut)

    masks = [p.config.mask for p in points("block")]
    assert len({made(mask) for mask in masks}) == 4
    assert len({made(dataclasses.replace(mask, dilate=0)) for mask in masks}) == 2


def test_tuples_keep_their_commas():
    found = points("model.width_per_generation:(0.5,0.5,1.0),(1.0,1.0,1.0)")
    assert [p.config.model.width_per_generation for p in found] == [(0.5, 0.5, 1.0), (1.0, 1.0, 1.0)]


def test_settings_hold_for_all_and_do_not_name_the_folder():
    (one,) = points("seed:7", settings=("data.dir=some/where",))
    assert one.config.data.dir == "some/where" and one.name == "camvid_ldt-small-seed=7"


@pytest.mark.parametrize(
    ("sweep", "code", "field"),
    [
        ("sead", ErrorCode.UNKNOWN, "--sweep"),
        ("seed:1,,2", ErrorCode.MALFORMED, "--sweep"),
        ("train.epoch:1", ErrorCode.UNKNOWN, "train.epoch"),
        ("train.epochs:many", ErrorCode.MALFORMED, "train.epochs"),
        ("data.height:100", ErrorCode.OUT_OF_RANGE, "data.height"),
        ("seed:1,1", ErrorCode.CONFLICT, "--config"),
    ],
)
def test_slips_are_named_before_anything_runs(sweep, code, field):
    with raises_user_error(code, field):
        points(sweep)


def test_a_setting_needs_a_value():
    with raises_user_error(ErrorCode.MALFORMED, "--set"):
        points(settings=("data.dir",))
