"""Methods by name: mistakes, titles, and what a gain is counted from."""

import dataclasses
import importlib

import numpy as np
import pytest
from user_errors import raises_user_error

from imjax.config.convert import freeze
from imjax.config.joint_schema import Joint
from imjax.data.pack import PackedDataset, Split
from imjax.data.readers import registry
from imjax.data.spec import VOID, DatasetSpec
from imjax.errors import ErrorCode
from imjax.methods import check_data, validate
from imjax.models import evalnet


def config(name, **changes):
    values = importlib.import_module(f"configs.{name}").get_config().to_dict()
    return dataclasses.replace(freeze(values), **changes)


def test_an_unknown_method_names_the_nearest():
    for given, nearest in (("noisy_studnet", "noisy_student"), ("fix_match", "fixmatch")):
        with raises_user_error(ErrorCode.UNKNOWN, "method") as info:
            validate.check_method(config("suim_im", method=given))
        assert nearest in str(info.value)


@pytest.mark.parametrize("method", ["im", "supervised"])
def test_a_weighting_needs_predictions_of_the_same_pixels(method):
    with raises_user_error(ErrorCode.CONFLICT, "joint.pixel_weighting"):
        validate.check_method(config("suim_im", method=method, joint=Joint(pixel_weighting="metassl")))


@pytest.mark.parametrize("method", ["cct", "rdrop", "simeps"])
def test_blocked_images_need_two_opinions_before_training(method):
    blocking = Joint(pixel_weighting="inconsistency", block_input=True)
    with raises_user_error(ErrorCode.CONFLICT, "joint.block_input"):
        validate.check_method(config(f"acdc_{method}", joint=blocking))
    for name in ("mean_teacher", "fixmatch", "unimatch", "cps"):
        validate.check_method(config(f"acdc_{name}", joint=blocking))


@pytest.mark.parametrize("key, value", [("labeler", "teacher"), ("pseudo_label_loss", "dice")])
def test_confident_pseudo_labels_are_those_of_fixmatch_and_unimatch(key, value):
    joint = Joint(**{key: value})
    for name in ("mean_teacher", "cps"):
        with raises_user_error(ErrorCode.CONFLICT, f"joint.{key}"):
            validate.check_method(config(f"acdc_{name}", joint=joint))
    for name in ("fixmatch", "unimatch"):
        validate.check_method(config(f"acdc_{name}", joint=joint))


def test_metassl_has_a_loss_of_its_own():
    joint = Joint(pseudo_label_loss="dice", pixel_weighting="metassl")
    with raises_user_error(ErrorCode.CONFLICT, "joint.pseudo_label_loss"):
        validate.check_method(config("acdc_fixmatch", joint=joint))


@pytest.mark.parametrize("side", ["height", "width"])
def test_an_evalnet_needs_images_that_it_can_halve(side):
    assert 2 ** (len(evalnet.BLOCKS) + 1) == validate.EVALNET_SMALLEST
    data = dataclasses.replace(config("suim_aim_pp").data, **{side: 48})
    with raises_user_error(ErrorCode.CONFLICT, f"data.{side}"):
        validate.check_method(config("suim_aim_pp", data=data))
    validate.check_method(config("suim_im", data=data))


def test_auxiliary_predictions_are_those_of_the_method():
    validate.check_method(config("acdc_urpc"))
    model = config("acdc_urpc").model
    with raises_user_error(ErrorCode.CONFLICT, "model.auxiliary"):
        validate.check_method(config("acdc_cps", method="urpc"))
    with raises_user_error(ErrorCode.CONFLICT, "model.auxiliary"):
        validate.check_method(config("acdc_urpc", method="cct"))
    shallow = dataclasses.replace(model, features=(4, 8, 16, 32), dropouts=(0.1,) * 4)
    with raises_user_error(ErrorCode.TOO_FEW, "model.features"):
        validate.check_method(config("acdc_urpc", model=shallow))


def test_rdrop_needs_dropout():
    validate.check_method(config("acdc_rdrop"))
    with raises_user_error(ErrorCode.CONFLICT, "model.dropout"):
        validate.check_method(config("suim_im", method="rdrop"))
    for preset in ("small", "tiny"):
        for dataset in ("neu_seg", "dagm", "mt", "acdc"):
            values = importlib.import_module(f"configs.{dataset}_rdrop").get_config(preset).to_dict()
            validate.check_method(freeze(values))


def test_half_of_a_joint_batch_is_labeled():
    cps = config("acdc_cps")
    odd = dataclasses.replace(cps.train, batch_size=7)
    with raises_user_error(ErrorCode.CONFLICT, "train.batch_size"):
        validate.check_method(dataclasses.replace(cps, train=odd))


def test_joint_methods_have_no_baselines():
    with raises_user_error(ErrorCode.CONFLICT, "baselines"):
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
    def check(method, dataset, **mask):
        whole = config("suim_aim_pp", method=method)
        whole = dataclasses.replace(whole, mask=dataclasses.replace(whole.mask, **mask))
        check_data.check_spec(whole, registry.spec(dataset))

    for dataset in ("suim", "isic2018", "hela"):
        check("im_pp", dataset)
    for method in ("cps", "ldt", "noisy_student"):
        check(method, "neu_seg")
    check("im_pp", "neu_seg", label_value="void")
    with raises_user_error(ErrorCode.UNSUPPORTED, "mask.label_value"):
        check("im_pp", "neu_seg")


def packed(*labels, kind="binary"):
    """Unlabeled images with these labels, `VOID` or not all over."""
    spec = DatasetSpec("mine", "mine", kind, ("cell",), ((1, 1, 1),))
    maps = np.array(labels, np.uint8).reshape(-1, 1, 1).repeat(2, 1).repeat(2, 2)
    images = np.zeros((*maps.shape, 3), np.uint8)
    split = Split(images, maps, tuple(map(str, labels)), tuple(map(str, labels)))
    return PackedDataset(spec, {}, {"labeled": split, "unlabeled": split})


def test_unlabeled_images_without_truth():
    mixed = packed(0, VOID, 1, VOID)
    for method in ("im", "ldt", "noisy_student", "cps"):
        check_data.check_truth(config("folder_im", method=method), mixed)
    for method in ("fdt", "gt_im_pp"):
        with raises_user_error(ErrorCode.CONFLICT, "method"):
            check_data.check_truth(config("folder_im", method=method), mixed)
        check_data.check_truth(config("folder_im", method=method), packed(0, 1))
    with raises_user_error(ErrorCode.CONFLICT, "method"):
        check_data.check_truth(config("folder_im", baselines=("ldt", "fdt")), mixed)


def test_no_unlabeled_images():
    # In joint training the labeled images stand in.
    for method in ("ldt", "aldt", "fdt", "cps", "supervised"):
        check_data.check_truth(config("folder_im", method=method), packed())
    for method in ("im", "noisy_student", "consistency"):
        with raises_user_error(ErrorCode.TOO_FEW, "data.label_fraction"):
            check_data.check_truth(config("folder_im", method=method), packed())
