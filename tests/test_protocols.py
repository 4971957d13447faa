"""The published protocol, typed from methods.md 1.5 to 1.7 and 1.9 and not read from configs/."""

import importlib.util
from pathlib import Path

import pytest

from imjax.config.constraints import check
from imjax.config.convert import freeze
from imjax.data.readers import registry
from imjax.pipeline.plan import make_plan
from imjax.pipeline.stages import LabelStage, TrainStage

ROOT = Path(__file__).parents[1]
SETS = ("isic2018", "hela", "suim", "cityscapes")


def config(dataset, method="im_pp"):
    spec = importlib.util.spec_from_file_location("leaf", ROOT / "configs" / f"{dataset}_{method}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return check(freeze(module.get_config().to_dict()))


# Section 1.7, its columns ISIC, HeLa, SUIM, Cityscapes.
WIDE = (1.0, 1.25, 1.5, 1.75, 2.0)
TEN = (5, 10, 15, 20, 25)
FEW = (3, 6, 9, 12, 15)
SCHEDULES = {
    "size": ((256, 256), (256, 256), (256, 256), (208, 416)),
    "channels": (3, 1, 3, 3),
    "outputs": (1, 3, 9, 35),
    "kind": ("binary", "multilabel", "multiclass", "multiclass"),
    "width": (0.5, 1, 1, 1),
    "width_per_generation": ((0.5, 0.75, 1, 1.25, 1.5), WIDE, WIDE, WIDE),
    "blur": ((0, 1, 1, 2, 3), (0, 1, 1, 2, 3), (0, 1, 1, 2, 3), (0, 0, 0, 0, 1)),
    "noise": (TEN, TEN, TEN, FEW),
    "contrast": (
        (0.1, 0.2, 0.3, 0.4, 0.5), (0.1, 0.1, 0.2, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5),
        (0.05, 0.1, 0.2, 0.3, 0.4),
    ),
    "brightness": (TEN, FEW, TEN, FEW),
    "rotation_invariant": (True, True, False, False),
    "views_blur": ((1, 2, 3), (1, 2, 3), (1, 2, 3), (0, 0, 1)),
    "views_noise": ((10, 17, 25), (10, 17, 25), (10, 17, 25), (3, 9, 15)),
    "views_contrast": ((0.15, 0.3, 0.5), (0.15, 0.3, 0.5), (0.15, 0.3, 0.5), (0.05, 0.2, 0.4)),
    "views_brightness": ((10, 17, 25), (10, 17, 25), (10, 17, 25), (3, 9, 15)),
    "aldt_noise": (25, 25, 25, 15),
    "aldt_blur": (3, 3, 3, 1),
    "aldt_contrast": (0.5, 0.3, 0.5, 0.4),
    "aldt_brightness": (25, 15, 25, 15),
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_and_sizes(name):
    found = []
    for dataset in SETS:
        c, spec = config(dataset), registry.spec(dataset)
        augment = {field: getattr(c.augment, field) for field in ("blur", "noise", "contrast", "brightness")}
        views = {f"views_{field}": getattr(c.consistency, field) for field in augment}
        aldt = {f"aldt_{field}": getattr(c.aldt, field) for field in augment}
        values = augment | views | aldt | {
            "size": (c.data.height, c.data.width), "width": c.model.width,
            "width_per_generation": c.model.width_per_generation, "channels": spec.channels,
            "outputs": spec.outputs,
            "kind": spec.kind, "rotation_invariant": spec.rotation_invariant,
        }  # fmt: skip
        found.append(values[name])
    assert tuple(found) == SCHEDULES[name]


# Section 1.6: MIN, MAX, where `evalnet` keeps from, EvalNet's α; noise, blur, gain, offset of pairs.
EVALNET_SETTINGS = {
    "isic2018": (0.72, 0.75, 0.75, 1, (20, 3, 0.4, 20)),
    "hela": (0.59, 0.62, 0.59, 2, (10, 1, 0.2, 10)),
    "suim": (0.43, 0.51, 0.51, 2, (10, 1, 0.2, 10)),
    "cityscapes": (0.372, 0.453, 0.453, 2, (10, 1, 0.2, 10)),
}


@pytest.mark.parametrize("dataset", SETS)
def test_evalnet(dataset):
    e = config(dataset).evalnet
    p = e.pairs
    strength = (p.noise, p.blur, p.contrast, p.brightness)
    assert (e.min_score, e.max_score, e.keep_threshold, e.width, strength) == EVALNET_SETTINGS[dataset]
    assert (p.epochs, p.val_epochs, p.min_members, p.max_members, p.kernels) == (10, 3, 2, 4, (0, 3, 5))
    assert (p.val_members, e.num_nets, e.train.epochs) == (3, 5, 50)
    stages = make_plan(config(dataset, "evalnet"))
    assert {s.keep_threshold for s in stages if isinstance(s, LabelStage)} == {EVALNET_SETTINGS[dataset][2]}


@pytest.mark.parametrize("dataset", SETS)
def test_training_is_as_published(dataset):
    """Sections 1.1, 1.2 and 1.5: candidates, generations, AdamW, batch and epochs."""
    c = config(dataset)
    assert (c.generations, c.num_baseline_nets, c.num_nets, c.report_top_k, c.ensemble.members) == (
        5,
        10,
        5,
        4,
        2,
    )
    for t in (c.train, c.evalnet.train):
        # `auto` of the published recipe: constant (tests/methods/test_strong_recipe.py).
        assert (t.optimizer, t.schedule, t.learning_rate) == ("adamw", "auto", 0.003)
        assert (t.weight_decay, t.adam_epsilon, t.batch_size, t.epochs) == (1e-4, 1e-7, 32, 50)
        # ⌊images / 32⌋.
        assert t.steps_per_epoch == 0
    assert (c.model.backbone, c.model.momentum, c.model.dropout) == ("unet_residual", 0.99, 0)
    assert c.aldt.copies == 9
    mask = c.mask
    assert (mask.erode, mask.dilate, mask.require_same_classes) == (0, 0, False)
    assert mask.zero_image and mask.zero_label
    (consistency,) = (
        s for s in make_plan(config(dataset, "consistency")) if isinstance(s, TrainStage) and s.consistency
    )
    assert consistency.train.epochs == 100


# Section 1.5: what picks the epoch, and the factor on the targets.
WATCHED = {
    "isic2018": ("hard_iou", (1,)),
    "hela": ("loss", (1, 1, 3)),
    "suim": ("soft_miou", (1,)),
    "cityscapes": ("soft_miou", (1,)),
}
# Section 1.9: random crops, overlap, share labeled, share of val (where a set has none), resizing of
# labels and of images.
PREPARED = {
    "isic2018": (0, 0.0, 0.1, None, "bilinear", "bilinear"),
    "hela": (0, 0.6, 0.1, None, "nearest", "area"),
    "suim": (2, 0.0, 0.1, 0.1, "corner", "bilinear"),
    "cityscapes": (0, 0.0, 0.1, None, "corner", "bilinear"),
}


@pytest.mark.parametrize("dataset", SETS)
def test_data_and_what_is_watched(dataset):
    c, spec = config(dataset), registry.spec(dataset)
    assert (spec.selection_metric, spec.target_scale) == WATCHED[dataset]
    d, wanted = c.data, PREPARED[dataset]
    assert (d.random_crops, d.tile_overlap, d.label_fraction) == wanted[:3]
    assert (spec.label_resize, spec.image_resize) == wanted[4:]
    assert wanted[3] is None or d.val_fraction == wanted[3]
    assert (d.resize_mode, d.percentile_normalize, d.split) == ("resize", False, "published")
    # Class 0 is kept free for inconsistent pixels in the sets of several classes.
    assert spec.reserved == (spec.kind == "multiclass")
    assert spec.counts_cells == (dataset == "hela")
    if dataset == "hela":
        # Section 1.6: detected from 1 %, a position from 0.1 %. Section 1.3: alive and dead are dilated by 3.
        assert spec.detection_shares == (0.01, 0.01, 0.001) and spec.dilate_channels == (0, 1)
        assert spec.classes == ("alive", "dead", "position")
