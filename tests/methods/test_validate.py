"""Methods by name: slips, titles, and what a gain is counted from."""

import dataclasses
import importlib

import numpy as np
import pytest

from imjax.config.joint_schema import Joint
from imjax.config.schema import freeze
from imjax.data.pack import PackedDataset, Split
from imjax.data.readers import registry
from imjax.data.spec import VOID, DatasetSpec
from imjax.errors import UserError
from imjax.methods import check_data, validate


def config(leaf, **changes):
    values = importlib.import_module(f"configs.{leaf}").get_config().to_dict()
    return dataclasses.replace(freeze(values), **changes)


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(UserError, match="noisy_student"):
        validate.check_method(config("suim_im", method="noisy_studnet"))
    with pytest.raises(UserError, match="fixmatch"):
        validate.check_method(config("suim_im", method="fix_match"))


@pytest.mark.parametrize("method", ["im", "supervised"])
def test_a_weighting_needs_predictions_of_the_same_pixels(method):
    with pytest.raises(UserError, match="'metassl' to weigh; those have: mean_teacher"):
        validate.check_method(config("suim_im", method=method, joint=Joint(pixel_weighting="metassl")))


def test_auxiliary_predictions_are_those_of_the_method():
    validate.check_method(config("acdc_urpc"))
    model = config("acdc_urpc").model
    with pytest.raises(UserError, match="'model.auxiliary' is 'decoders'; expected 'scales' with .* 'urpc'"):
        validate.check_method(config("acdc_cps", method="urpc"))
    with pytest.raises(UserError, match="'model.auxiliary' is 'scales'; expected 'decoders' with .* 'cct'"):
        validate.check_method(config("acdc_urpc", method="cct"))
    shallow = dataclasses.replace(model, features=(4, 8, 16, 32), dropouts=(0.1,) * 4)
    with pytest.raises(UserError, match="'model.features' .*; expected at least 5 stages"):
        validate.check_method(config("acdc_urpc", model=shallow))


def test_rdrop_needs_dropout():
    validate.check_method(config("acdc_rdrop"))
    with pytest.raises(UserError, match="the net has none; expected config.model.dropout above 0"):
        validate.check_method(config("suim_im", method="rdrop"))
    for preset in ("small", "tiny"):
        for dataset in ("neu_seg", "dagm", "mt", "acdc"):
            values = importlib.import_module(f"configs.{dataset}_rdrop").get_config(preset).to_dict()
            validate.check_method(freeze(values))


def test_half_of_a_joint_batch_is_labeled():
    cps = config("acdc_cps")
    odd = dataclasses.replace(cps.train, batch_size=7)
    with pytest.raises(UserError, match="'train.batch_size' is 7; expected an even number"):
        validate.check_method(dataclasses.replace(cps, train=odd))


def test_joint_methods_have_no_baselines():
    with pytest.raises(UserError, match=r"'baselines' is \('ldt',\); expected none beside method 'cps'"):
        validate.check_method(config("acdc_cps", baselines=("ldt",)))


def test_titles_and_starts():
    cps = config("acdc_cps")
    assert (validate.run_method(cps), validate.baseline_method(cps)) == ("cps", "supervised")
    weighed = config("acdc_cps_metassl")
    assert (validate.run_method(weighed), validate.baseline_method(weighed)) == ("cps_metassl", "cps")
    csl = dataclasses.replace(cps, joint=dataclasses.replace(cps.joint, pixel_weighting="csl"))
    assert validate.run_method(csl) == "cps_csl"
    assert validate.baseline_method(config("suim_aim_pp")) == "aldt"


def test_inconsistency_masks_need_a_class_for_inconsistent_pixels():
    for dataset in ("suim", "isic2018", "hela"):
        check_data.check_spec("im_pp", registry.spec(dataset))
    for method in ("cps", "ldt", "noisy_student"):
        check_data.check_spec(method, registry.spec("neu_seg"))
    with pytest.raises(UserError, match="class 0, which NEU-Seg has for 'background'"):
        check_data.check_spec("im_pp", registry.spec("neu_seg"))


def packed(*labels, kind="binary"):
    """Unlabeled images with these labels, `VOID` or not all over."""
    spec = DatasetSpec("mine", "mine", kind, ("cell",), ((1, 1, 1),))
    maps = np.array(labels, np.uint8).reshape(-1, 1, 1).repeat(2, 1).repeat(2, 2)
    images = np.zeros((*maps.shape, 3), np.uint8)
    split = Split(images, maps, tuple(map(str, labels)), tuple(map(str, labels)))
    return PackedDataset(spec, {}, {"unlabeled": split})


def test_unlabeled_images_without_truth():
    mixed = packed(0, VOID, 1, VOID)
    for method in ("im", "ldt", "noisy_student", "cps"):
        check_data.check_truth(config("folder_im", method=method), mixed)
    for method in ("fdt", "gt_im_pp"):
        line = f"mine: 2 of 4 unlabeled images have no mask, which {method} would learn from"
        with pytest.raises(UserError, match=line):
            check_data.check_truth(config("folder_im", method=method), mixed)
        check_data.check_truth(config("folder_im", method=method), packed(0, 1))
    with pytest.raises(UserError, match="which fdt would learn from"):
        check_data.check_truth(config("folder_im", baselines=("ldt", "fdt")), mixed)


def test_no_unlabeled_images():
    # In joint training the labeled images stand in.
    for method in ("ldt", "aldt", "fdt", "cps", "supervised"):
        check_data.check_truth(config("folder_im", method=method), packed())
    for method in ("im", "noisy_student", "consistency"):
        with pytest.raises(UserError, match=f"no unlabeled image for method '{method}'"):
            check_data.check_truth(config("folder_im", method=method), packed())
