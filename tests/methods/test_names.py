"""Methods by name: slips, titles, and what a gain is counted from."""

import dataclasses
import importlib

import pytest

from imjax.config import freeze
from imjax.data import readers
from imjax.errors import UserError
from imjax.methods import names


def config(leaf, **changes):
    values = importlib.import_module(f"configs.{leaf}").get_config().to_dict()
    return dataclasses.replace(freeze(values), **changes)


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(UserError, match="noisy_student"):
        names.check(config("suim_im", method="noisy_studnet"))
    with pytest.raises(UserError, match="fixmatch"):
        names.check(config("suim_im", method="fix_match"))


@pytest.mark.parametrize("method", ["im", "supervised"])
def test_a_weighting_needs_predictions_of_the_same_pixels(method):
    with pytest.raises(UserError, match="'metassl' to weigh; those have: mean_teacher"):
        names.check(config("suim_im", method=method, metassl=True))


def test_titles_and_starts():
    cps = config("acdc_cps")
    assert (names.title(cps), names.start(cps)) == ("cps", "supervised")
    weighed = config("acdc_cps_metassl")
    assert (names.title(weighed), names.start(weighed)) == ("cps_metassl", "cps")
    csl = dataclasses.replace(cps, joint=dataclasses.replace(cps.joint, weighting="csl"))
    assert names.title(csl) == "cps_csl"
    assert names.start(config("suim_aim_pp")) == "aldt"


def test_inconsistency_masks_need_a_class_for_inconsistent_pixels():
    for dataset in ("suim", "isic2018", "hela"):
        names.check_spec("im_pp", readers.spec(dataset))
    for method in ("cps", "ldt", "noisy_student"):
        names.check_spec(method, readers.spec("neu_seg"))
    with pytest.raises(UserError, match="class 0, which NEU-Seg has for 'background'"):
        names.check_spec("im_pp", readers.spec("neu_seg"))
