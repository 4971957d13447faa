"""Configurations: every file builds, and mistakes are reported with their key."""

import ast
import dataclasses
import functools
import importlib.util
from pathlib import Path

import jax
import pytest
from user_errors import raises_user_error

from imjax.config import get_config, protocols
from imjax.config.constraints import check
from imjax.config.convert import flatten, freeze
from imjax.data.readers import registry
from imjax.errors import ErrorCode
from imjax.models.factory import create_backbone
from imjax.pipeline.joint_stage import make_system
from imjax.pipeline.plan import describe, make_plan
from imjax.pipeline.stages import JointStage, LabelStage, TrainStage
from imjax.training.semi_supervised_objective import joint_objective

ROOT = Path(__file__).parents[1]
CONFIG_FILES = sorted((ROOT / "configs").glob("*.py"))


def load(path, preset=None):
    spec = importlib.util.spec_from_file_location("config_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(preset)


def load_config(name, preset=None):
    return load(ROOT / "configs" / f"{name}.py", preset)


def frozen(name, preset=None):
    return check(freeze(load_config(name, preset).to_dict()))


def test_every_protocol_has_a_file_that_says_the_same():
    """Leaves may be more: of a method that is being tried out, say."""
    leaves = {path.stem: path for path in CONFIG_FILES}
    # The demo is the one cell of synthetic scenes that is a file.
    names = [name for name in protocols.list_names() if not name.startswith("synthetic_")]
    for name in names:
        for preset in (None, "tiny"):
            assert load(leaves[name], preset) == protocols.get_named_config(name, preset), name


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda p: p.stem)
def test_leaves_say_what_they_are_and_how_to_run_them(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text and f"--config=configs/{path.name}" in text


@pytest.mark.parametrize(
    ("cell", "field", "offered"),
    [
        (("suimm", "im"), "dataset", "suim"),
        (("suim", "im_ppp"), "method", "im_pp"),
        (("suim", "cps"), "method", ""),
        (("acdc", "cps_metasll"), "method", "cps_metassl"),
        (("suim", "im", "smal"), "preset", "small, tiny"),
    ],
)
def test_slips_in_names_get_the_closest(cell, field, offered):
    with raises_user_error(ErrorCode.UNKNOWN, field) as info:
        get_config(*cell)
    assert offered in str(info.value).partition(":")[2]


@pytest.mark.parametrize(
    ("name", "field"), [("suim_aim_ppp", "method"), ("demoo", "--config"), ("suim", "--config")]
)
def test_slips_in_names_of_configurations(name, field):
    with raises_user_error(ErrorCode.UNKNOWN, field):
        protocols.get_named_config(name)


@pytest.mark.parametrize("preset", ["", "small", "tiny"])
@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda p: p.stem)
def test_every_config_builds_a_plan_and_nets_that_fit(path, preset):
    if path.stem == "demo" and preset == "small":
        return
    config = check(freeze(load(path, preset).to_dict()))
    stages = make_plan(config)
    assert len(path.read_text().splitlines()) <= 40
    spec = registry.spec(config.data.dataset)
    size = config.joint.patch or (config.data.height, config.data.width)
    shape = (2, *size, spec.channels)
    for model in {stage.model for stage in stages if isinstance(stage, TrainStage | JointStage)}:
        assert logits_shape(create_backbone(model, spec), shape) == (*shape[:-1], spec.outputs)
    for stage in stages:
        # Presets change sizes; a step of a whole system takes seconds to trace, and more of deep nets. Depth
        # matters to the nets alone, above.
        if isinstance(stage, JointStage) and not preset:
            assert step_shape(make_system(shallow(stage), spec), shape) == ()


def shallow(stage):
    """The stage with nets of two levels, where no heads are asked for on more of them."""
    if stage.model.auxiliary == "scales":
        return stage
    features, dropouts = stage.model.features[:2], stage.model.dropouts[:2]
    return dataclasses.replace(
        stage, model=dataclasses.replace(stage.model, features=features, dropouts=dropouts)
    )


@functools.cache
def step_shape(system, shape):
    """Shape of the loss of one step; the real size is for the nets alone, which are what must fit it."""
    objective = joint_objective(system, shape[1:-1])
    half = jax.ShapeDtypeStruct(shape, "uint8")
    batch = {"labeled": {"image": half, "label": jax.ShapeDtypeStruct(shape[:-1], "uint8")}}
    variables = jax.eval_shape(objective.init, jax.random.key(0))
    batch["unlabeled"] = {"image": half}
    loss, after = jax.eval_shape(objective.losses["loss"], variables, batch, jax.random.key(0))
    assert jax.tree.structure(after.model_state | {"params": variables["params"]}) == jax.tree.structure(
        variables
    )
    return loss.shape


@functools.cache
def logits_shape(net, shape):
    images = jax.ShapeDtypeStruct(shape, "uint8")
    return jax.eval_shape(net.init_with_output, jax.random.key(0), images)[0].shape


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"trian": 1}, ErrorCode.UNKNOWN, "trian"),
        ({"train": {"epoch": 1}}, ErrorCode.UNKNOWN, "train.epoch"),
        ({"seed": "0"}, ErrorCode.WRONG_TYPE, "seed"),
        ({"seed": True}, ErrorCode.WRONG_TYPE, "seed"),
        ({"mask": {"zero_image": 1}}, ErrorCode.WRONG_TYPE, "mask.zero_image"),
        ({"augment": {"blur": (0, 0.5)}}, ErrorCode.WRONG_TYPE, "augment.blur[1]"),
        ({"baselines": "ldt"}, ErrorCode.WRONG_TYPE, "baselines"),
        ({"model": 3}, ErrorCode.WRONG_TYPE, "model"),
        ({"data": {"height": 250}}, ErrorCode.OUT_OF_RANGE, "data.height"),
        ({"train": {"learning_rate": float("nan")}}, ErrorCode.OUT_OF_RANGE, "train.learning_rate"),
        ({"train": {"learning_rate": -0.1}}, ErrorCode.OUT_OF_RANGE, "train.learning_rate"),
        ({"mask": {"erode": True}}, ErrorCode.WRONG_TYPE, "mask.erode"),
        ({"seed": 2**70}, ErrorCode.OUT_OF_RANGE, "seed"),
        ({"on_nan": "ignore"}, ErrorCode.OUT_OF_RANGE, "on_nan"),
        ({"num_nets": 0}, ErrorCode.OUT_OF_RANGE, "num_nets"),
        ({"ensemble": {"members": 6}}, ErrorCode.CONFLICT, "ensemble.members"),
        ({"generations": 9}, ErrorCode.CONFLICT, "model.width_per_generation"),
        ({"evalnet": {"min_score": 0.9}}, ErrorCode.CONFLICT, "evalnet.min_score"),
        ({"evalnet": {"pairs": {"kernels": (0, 7)}}}, ErrorCode.OUT_OF_RANGE, "evalnet.pairs.kernels"),
        ({"mask": {"erode": 2}}, ErrorCode.OUT_OF_RANGE, "mask.erode"),
        ({"data": {"label_fraction": 0.0}}, ErrorCode.OUT_OF_RANGE, "data.label_fraction"),
        ({"data": {"test_fraction": 1.0}}, ErrorCode.OUT_OF_RANGE, "data.test_fraction"),
        ({"data": {"tile_overlap": 1.0}}, ErrorCode.OUT_OF_RANGE, "data.tile_overlap"),
        ({"data": {"resize_mode": "stretch"}}, ErrorCode.OUT_OF_RANGE, "data.resize_mode"),
        ({"data": {"resize_mode": "pad"}}, ErrorCode.CONFLICT, "data.resize_mode"),
        ({"data": {"label_kind": "rgb"}}, ErrorCode.OUT_OF_RANGE, "data.label_kind"),
        ({"data": {"tile_overlap": 0.6}}, ErrorCode.CONFLICT, "data.tile_overlap"),
        ({"baselines": ("im",)}, ErrorCode.OUT_OF_RANGE, "baselines"),
        ({"data": {"depth": 8}}, ErrorCode.OUT_OF_RANGE, "data.depth"),
        ({"joint": {"patch": (16, 16, 16)}}, ErrorCode.CONFLICT, "joint.patch"),
        ({"joint": {"predict_overlap": 1.0}}, ErrorCode.OUT_OF_RANGE, "joint.predict_overlap"),
        ({"joint": {"pixel_weighting": "im"}}, ErrorCode.OUT_OF_RANGE, "joint.pixel_weighting"),
        ({"joint": {"block_input": True}}, ErrorCode.CONFLICT, "joint.block_input"),
        (
            {"joint": {"simeps": {"feature_levels": ("middle",)}}},
            ErrorCode.OUT_OF_RANGE,
            "joint.simeps.feature_levels",
        ),
        ({"joint": {"metassl": {"labeled": (1.0,)}}}, ErrorCode.OUT_OF_RANGE, "joint.metassl.labeled"),
        ({"joint": {"feature_dropout": 1.0}}, ErrorCode.OUT_OF_RANGE, "joint.feature_dropout"),
        ({"joint": {"weak": {"blur": 9}}}, ErrorCode.OUT_OF_RANGE, "joint.weak.blur"),
        ({"joint": {"teacher_noise": -0.1}}, ErrorCode.OUT_OF_RANGE, "joint.teacher_noise"),
        ({"joint": {"rampup": {"max_weight": -1.0}}}, ErrorCode.OUT_OF_RANGE, "joint.rampup.max_weight"),
        ({"model": {"dropouts": (0.1,)}}, ErrorCode.CONFLICT, "model.dropouts"),
        ({"train": {"optimizer": "lion"}}, ErrorCode.OUT_OF_RANGE, "train.optimizer"),
        ({"model": {"dtype": "half"}}, ErrorCode.OUT_OF_RANGE, "model.dtype"),
        ({"model": {"weights": " "}}, ErrorCode.OUT_OF_RANGE, "model.weights"),
        ({"model": {"weights": "imagenet"}}, ErrorCode.CONFLICT, "model.weights"),
        ({"train": {"encoder_lr_scale": 0.1}}, ErrorCode.CONFLICT, "train.encoder_lr_scale"),
        ({"train": {"encoder_lr_scale": 0.0}}, ErrorCode.OUT_OF_RANGE, "train.encoder_lr_scale"),
        (
            {"model": {"backbone": "efficientnet_lite0"}, "evalnet": {"train": {"encoder_lr_scale": 0.1}}},
            ErrorCode.CONFLICT,
            "evalnet.train.encoder_lr_scale",
        ),
    ],
)
def test_slips(change, code, field):
    values = load_config("suim_aim_pp").to_dict()

    def update(target, new):
        for key, value in new.items():
            if isinstance(value, dict):
                update(target[key], value)
            else:
                target[key] = value

    update(values, change)
    with raises_user_error(code, field):
        check(freeze(values))


@pytest.mark.parametrize(
    "change",
    [
        {"joint.patch": (112, 112, 80)},
        {"joint.patch": (80, 112)},
        # The published net halves four times.
        {"joint.patch": (80, 120, 112)},
        {"model.backbone": "unet_residual"},
        {"model.backbone": "efficientnet_lite0"},
    ],
)
def test_slips_about_volumes(change):
    config = load_config("la_cps")
    config.update_from_flattened_dict(change)
    with raises_user_error(ErrorCode.CONFLICT, next(iter(change))):
        check(freeze(config.to_dict()))


def test_volumes_are_for_joint_methods():
    values = load_config("la_cps").to_dict() | {"method": "im_pp"}
    with raises_user_error(ErrorCode.UNSUPPORTED, "method"):
        make_plan(freeze(values))


def test_a_missing_key_is_named():
    values = load_config("suim_aim_pp").to_dict()
    del values["aldt"]["noise"]
    with raises_user_error(ErrorCode.MISSING, "aldt.noise"):
        freeze(values)


def test_integers_pass_for_floats():
    values = load_config("suim_aim_pp").to_dict()
    values["train"]["learning_rate"] = 1
    assert freeze(values).train.learning_rate == 1.0


def test_flat_keys():
    flat = flatten(dataclasses.asdict(frozen("suim_aim_pp")))
    assert flat["evalnet.pairs.kernels"] == (0, 3, 5) and flat["train.weight_decay"] == 1e-4


def test_suim_is_the_published_protocol():
    config = frozen("suim_aim_pp")
    assert (config.data.height, config.data.width, config.data.random_crops) == (256, 256, 2)
    assert (config.num_baseline_nets, config.num_nets, config.report_top_k, config.generations) == (
        10,
        5,
        4,
        5,
    )
    t = config.train
    assert (t.epochs, t.steps_per_epoch, t.batch_size, t.learning_rate) == (50, 0, 32, 0.003)
    assert (t.weight_decay, t.adam_epsilon) == (1e-4, 1e-7)
    assert config.model.width_per_generation == (1.0, 1.25, 1.5, 1.75, 2.0)
    assert (config.evalnet.min_score, config.evalnet.max_score, config.evalnet.width) == (0.43, 0.51, 2.0)


def test_joint_sets_are_the_published_protocols():
    # Methods.md 2 and 2.1. Data, rate, κ, where, share of labels, iterations.
    of_simeps = {
        "neu_seg": (0.001, 50.0, ("output",), 0.1, 60),
        "dagm": (0.002, 200.0, ("encoder", "decoder"), 0.1, 60),
        "mt": (0.002, 200.0, ("encoder", "decoder"), 0.4, 90),
    }
    for dataset, figures in of_simeps.items():
        config = frozen(f"{dataset}_simeps")
        t, s = config.train, config.joint.simeps
        steps = config.train.steps_per_epoch
        assert (t.learning_rate, s.kappa, s.feature_levels, config.data.label_fraction, steps) == figures
        assert (t.optimizer, t.schedule, t.patience, t.epochs, t.batch_size) == (
            "adam",
            "plateau",
            50,
            800,
            32,
        )
        weak = config.joint.weak
        chances = (weak.contrast_prob, weak.blur_prob, weak.noise_prob, config.joint.rotate_prob)
        assert chances == (0.3,) * 4 and config.joint.flip_prob == 0.4
    config = frozen("acdc_cps_metassl")
    t, rampup = config.train, config.joint.rampup
    assert (t.optimizer, t.schedule, t.learning_rate, t.momentum) == ("sgd", "poly", 0.01, 0.9)
    assert (t.weight_decay, t.epochs * t.steps_per_epoch) == (1e-4, 30_000)
    assert (rampup.max_weight, rampup.steps, rampup.update_every) == (0.1, 30_000, 150)
    m = config.model
    assert (m.features, m.dropouts) == ((16, 32, 64, 128, 256), (0.05, 0.1, 0.2, 0.3, 0.5))
    # MetaSSL's released Mean Teacher has no noise, the benchmark's has.
    assert config.joint.teacher_noise == 0.0 and frozen("acdc_mean_teacher").joint.teacher_noise == 0.1
    assert (config.joint.ema_decay, config.joint.confidence_threshold) == (0.99, 0.95)


def test_plan_of_aim_pp():
    stages = make_plan(frozen("suim_aim_pp"))
    names = ["train_aldt", "pairs", "evalnet"]
    names += [name for g in range(5) for name in (f"label_g{g}", f"train_g{g}")]
    assert [stage.name for stage in stages] == names
    # Every stage reads only what came before.
    for i, stage in enumerate(stages):
        assert set(stage.inputs) <= set(names[:i])
    labels = [stage for stage in stages if isinstance(stage, LabelStage)]
    assert [s.nets for s in labels] == ["train_aldt", "train_g0", "train_g1", "train_g2", "train_g3"]
    trains = [stage for stage in stages if isinstance(stage, TrainStage) and stage.pseudo]
    assert [(s.model.width, s.strength.blur, s.strength.noise) for s in trains] == [
        (1.0, 0, 5), (1.25, 1, 10), (1.5, 1, 15), (1.75, 2, 20), (2.0, 3, 25),
    ]  # fmt: skip
    assert all(s.originals and s.start == "aldt" for s in trains)
    assert "label_g4" in describe(stages)


@pytest.mark.parametrize(
    ("method", "start", "originals", "augmented", "evalnet", "grows"),
    [
        ("im", "ldt", True, False, False, False),
        ("im_p", "ldt", False, True, False, True),
        ("aim_p", "aldt", True, True, False, True),
        ("im_pp", "ldt", False, True, True, True),
        ("aim_pp", "aldt", True, True, True, True),
    ],
)
def test_methods_differ_by_their_switches(method, start, originals, augmented, evalnet, grows):
    stages = make_plan(frozen(f"suim_{method}"))
    last = stages[-1]
    assert (last.start, last.originals, last.strength is not None) == (start, originals, augmented)
    assert any(stage.name == "evalnet" for stage in stages) == evalnet
    assert (last.model.width == 2.0) == grows


@pytest.mark.parametrize("method", ["fdt", "ldt", "aldt"])
def test_start_methods_are_one_stage(method):
    assert [stage.name for stage in make_plan(frozen(f"suim_{method}"))] == [f"train_{method}"]


def test_baselines_come_first_and_once():
    values = load_config("suim_aim_pp").to_dict() | {"baselines": ("ldt", "aldt")}
    names = [stage.name for stage in make_plan(freeze(values))]
    assert names[:3] == ["train_ldt", "train_aldt", "pairs"]


@pytest.mark.parametrize(
    ("method", "evalnets"), [("im_pp", 3), ("aim_pp", 3), ("evalnet", 3), ("im", 0), ("gt_im_pp", 0)]
)
def test_as_many_evalnets_score_as_nets_label(method, evalnets):
    """Methods.md 1.2: an ensemble of n EvalNets. Others than n of them, and the labels are others."""
    values = load_config(f"suim_{method}").to_dict()
    values["ensemble"]["members"] = 3
    labels = [stage for stage in make_plan(check(freeze(values))) if isinstance(stage, LabelStage)]
    assert [stage.num_evalnets for stage in labels] == [evalnets] * 5
    assert ("3 EvalNets" in describe(make_plan(freeze(values)))) == bool(evalnets)


def test_evalnets_that_score_must_be_trained():
    values = load_config("suim_im_pp").to_dict()
    values["evalnet"]["num_nets"] = 1
    with raises_user_error(ErrorCode.CONFLICT, "ensemble.members"):
        make_plan(check(freeze(values)))
    # Where nothing is judged, it matters to nobody.
    assert make_plan(check(freeze(values | {"method": "im"})))


def test_unknown_method_names_the_nearest():
    values = load_config("suim_aim_pp").to_dict() | {"method": "aim_ppp"}
    with raises_user_error(ErrorCode.UNKNOWN, "method") as info:
        make_plan(freeze(values))
    assert "aim_pp" in str(info.value).partition(";")[2]
