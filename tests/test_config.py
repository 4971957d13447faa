"""Configurations: every file builds, every key is read, and slips get one clear line."""

import ast
import dataclasses
import functools
import importlib.util
import typing
from pathlib import Path

import jax
import pytest

from imjax.config import get_config, protocols
from imjax.config.constraints import check
from imjax.config.schema import Config, flatten, freeze
from imjax.data.readers import registry
from imjax.errors import UserError
from imjax.models.factory import create_backbone
from imjax.pipeline.joint_stage import make_system
from imjax.pipeline.plan import describe, make_plan
from imjax.pipeline.stages import JointStage, LabelStage, TrainStage
from imjax.training.semi_supervised_objective import joint_objective

ROOT = Path(__file__).parents[1]
LEAVES = sorted((ROOT / "configs").glob("*.py"))


def load(path, preset=None):
    spec = importlib.util.spec_from_file_location("leaf", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(preset)


def leaf(name, preset=None):
    return load(ROOT / "configs" / f"{name}.py", preset)


def frozen(name, preset=None):
    return check(freeze(leaf(name, preset).to_dict()))


def test_every_protocol_has_a_leaf_that_says_the_same():
    """Leaves may be more: of a method that is being tried out, say."""
    leaves = {path.stem: path for path in LEAVES}
    # The demo is the one cell of synthetic scenes that is a file.
    names = [name for name in protocols.list_names() if not name.startswith("synthetic_")]
    for name in names:
        for preset in (None, "tiny"):
            assert load(leaves[name], preset) == protocols.get_named_config(name, preset), name


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_leaves_say_what_they_are_and_how_to_run_them(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text and f"--config=configs/{path.name}" in text


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (("suimm", "im"), "dataset 'suimm' is unknown: did you mean suim"),
        (("suim", "im_ppp"), "method 'im_ppp' has no configuration for suim: did you mean im_pp"),
        (("suim", "cps"), "method 'cps' has no configuration for suim"),
        (("acdc", "cps_metasll"), "did you mean cps_metassl"),
        (("suim", "im", "smal"), "preset 'smal' is unknown; there are: small, tiny"),
    ],
)
def test_slips_in_names_get_the_closest(cell, message):
    with pytest.raises(UserError, match=message):
        get_config(*cell)


@pytest.mark.parametrize("name", ["suim_aim_ppp", "demoo", "suim"])
def test_slips_in_names_of_configurations(name):
    with pytest.raises(UserError, match="unknown|no configuration"):
        protocols.get_named_config(name)


@pytest.mark.parametrize("preset", ["", "small", "tiny"])
@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
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
        # Presets change sizes; a step of a whole system takes seconds to trace.
        if isinstance(stage, JointStage) and not preset:
            assert step_shape(make_system(stage, spec), shape) == ()


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
    variables = jax.eval_shape(net.init, jax.random.key(0), images)
    return jax.eval_shape(net.apply, variables, images).shape


def test_every_key_is_read_somewhere():
    attributes = {
        node.attr
        for path in (ROOT / "imjax").rglob("*.py")
        if path.parent.name != "config"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }

    def names(cls):
        for name, hint in typing.get_type_hints(cls).items():
            yield name
            if dataclasses.is_dataclass(hint):
                yield from names(hint)

    assert set(names(Config)) <= attributes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trian": 1}, r"'trian' is unknown: did you mean train"),
        ({"train": {"epoch": 1}}, r"'train.epoch' is unknown: did you mean train.epochs"),
        ({"seed": "0"}, r"'seed' is '0'; expected int"),
        ({"seed": True}, r"'seed' is True; expected int"),
        ({"mask": {"zero_image": 1}}, r"'mask.zero_image' is 1; expected bool"),
        ({"augment": {"blur": (0, 0.5)}}, r"'augment.blur\[1\]' is 0.5; expected int"),
        ({"baselines": "ldt"}, r"'baselines' is 'ldt'; expected a tuple"),
        ({"model": 3}, r"'model' is 3; expected a group"),
        ({"data": {"height": 250}}, r"'data.height' is 250; expected a multiple of 16"),
        (
            {"train": {"learning_rate": float("nan")}},
            r"'train.learning_rate' is nan; expected a finite number",
        ),
        ({"train": {"learning_rate": -0.1}}, r"'train.learning_rate' is -0.1; expected more than 0"),
        ({"mask": {"erode": True}}, r"'mask.erode' is True; expected int"),
        ({"seed": 2**70}, r"'seed' is \d+; expected at least 0, less than 2"),
        ({"on_nan": "ignore"}, r"'on_nan' is 'ignore'; expected stop or drop"),
        ({"num_nets": 0}, r"'num_nets' is 0; expected at least 1"),
        ({"ensemble": {"members": 6}}, r"'ensemble.members' is 6; expected at most the 5 candidates"),
        ({"generations": 9}, r"'model.width_per_generation' is .*; expected an entry for each of the 9"),
        (
            {"evalnet": {"min_score": 0.9}},
            r"'evalnet.min_score' is 0.9; expected less than evalnet.max_score",
        ),
        ({"evalnet": {"pairs": {"kernels": (0, 7)}}}, r"'evalnet.pairs.kernels' is \(0, 7\); expected sizes"),
        ({"mask": {"erode": 2}}, r"'mask.erode' is 2; expected 0 or an odd size"),
        ({"data": {"label_fraction": 0.0}}, r"'data.label_fraction' is 0.0; expected more than 0"),
        ({"data": {"test_fraction": 1.0}}, r"'data.test_fraction' is 1.0; expected more than 0"),
        ({"data": {"tile_overlap": 1.0}}, r"'data.tile_overlap' is 1.0; expected at least 0, less"),
        (
            {"data": {"resize_mode": "stretch"}},
            r"'data.resize_mode' is 'stretch'; expected resize, crop or pad",
        ),
        (
            {"data": {"resize_mode": "pad"}},
            r"'data.resize_mode' is 'pad'; expected resize or crop beside data.random_crops",
        ),
        ({"data": {"label_kind": "rgb"}}, r"'data.label_kind' is 'rgb'; expected auto, binary, "),
        (
            {"data": {"tile_overlap": 0.6}},
            r"'data.tile_overlap' is 0.6; expected 0 beside data.random_crops = 2",
        ),
        ({"baselines": ("im",)}, r"'baselines' is \('im',\); expected some of ldt, aldt, fdt"),
        ({"data": {"depth": 8}}, r"'data.depth' is 8; expected 0 \(images\) or a multiple of 16"),
        ({"joint": {"patch": (16, 16, 16)}}, r"'joint.patch' is .*; expected empty beside data.depth = 0"),
        ({"joint": {"predict_overlap": 1.0}}, r"'joint.predict_overlap' is 1.0; expected at least 0, less"),
        (
            {"joint": {"pixel_weighting": "im"}},
            r"'joint.pixel_weighting' is 'im'; expected none, inconsistency, csl",
        ),
        (
            {"joint": {"block_input": True}},
            r"'joint.block_input' is True; expected False beside joint.pixel_weighting = 'none'",
        ),
        (
            {"joint": {"simeps": {"feature_levels": ("middle",)}}},
            r"'joint.simeps.feature_levels' .*; expected some of",
        ),
        ({"joint": {"metassl": {"labeled": (1.0,)}}}, r"'joint.metassl.labeled' .*; expected four"),
        ({"joint": {"feature_dropout": 1.0}}, r"'joint.feature_dropout' is 1.0; expected at least 0, less"),
        ({"joint": {"weak": {"blur": 9}}}, r"'joint.weak.blur' is 9; expected from 0 to 3"),
        ({"joint": {"teacher_noise": -0.1}}, r"'joint.teacher_noise' is -0.1; expected at least 0"),
        (
            {"joint": {"rampup": {"max_weight": -1.0}}},
            r"'joint.rampup.max_weight' is -1.0; expected at least 0",
        ),
        ({"model": {"dropouts": (0.1,)}}, r"'model.dropouts' is .*; expected one for each of"),
        ({"train": {"optimizer": "lion"}}, r"'train.optimizer' is 'lion'; expected adamw, adam or sgd"),
        ({"model": {"dtype": "half"}}, r"'model.dtype' is 'half'; expected auto, float32 or bfloat16"),
    ],
)
def test_slips(change, message):
    values = leaf("suim_aim_pp").to_dict()

    def update(target, new):
        for key, value in new.items():
            if isinstance(value, dict):
                update(target[key], value)
            else:
                target[key] = value

    update(values, change)
    with pytest.raises(UserError, match=message):
        check(freeze(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joint.patch": (112, 112, 80)}, r"expected depth, height and width of at most \(96, 208, 176\)"),
        ({"joint.patch": (80, 112)}, "expected depth, height and width"),
        # The published net halves four times.
        ({"joint.patch": (80, 120, 112)}, "each a multiple of 16"),
        ({"model.backbone": "unet_residual"}, "expected unet_dropout beside data.depth = 96"),
    ],
)
def test_slips_about_volumes(change, message):
    config = leaf("la_cps")
    config.update_from_flattened_dict(change)
    with pytest.raises(UserError, match=message):
        check(freeze(config.to_dict()))


def test_volumes_are_for_joint_methods():
    values = leaf("la_cps").to_dict() | {"method": "im_pp"}
    with pytest.raises(UserError, match="'im_pp' segments images, not volumes .* supervised"):
        make_plan(freeze(values))


def test_a_missing_key_is_named():
    values = leaf("suim_aim_pp").to_dict()
    del values["aldt"]["noise"]
    with pytest.raises(UserError, match="'aldt.noise' is missing"):
        freeze(values)


def test_integers_pass_for_floats():
    values = leaf("suim_aim_pp").to_dict()
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
    assert (config.joint.ema_decay, config.joint.teacher_noise, config.joint.confidence_threshold) == (
        0.99,
        0.1,
        0.95,
    )


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
    values = leaf("suim_aim_pp").to_dict() | {"baselines": ("ldt", "aldt")}
    names = [stage.name for stage in make_plan(freeze(values))]
    assert names[:3] == ["train_ldt", "train_aldt", "pairs"]


@pytest.mark.parametrize(
    ("method", "judges"), [("im_pp", 3), ("aim_pp", 3), ("evalnet", 3), ("im", 0), ("gt_im_pp", 0)]
)
def test_as_many_evalnets_score_as_nets_label(method, judges):
    """Methods.md 1.2: an ensemble of n EvalNets. Others than n of them, and the labels are others."""
    values = leaf(f"suim_{method}").to_dict()
    values["ensemble"]["members"] = 3
    labels = [stage for stage in make_plan(check(freeze(values))) if isinstance(stage, LabelStage)]
    assert [stage.num_evalnets for stage in labels] == [judges] * 5
    assert ("3 EvalNets" in describe(make_plan(freeze(values)))) == bool(judges)


def test_evalnets_that_score_must_be_trained():
    values = leaf("suim_im_pp").to_dict()
    values["evalnet"]["num_nets"] = 1
    with pytest.raises(UserError, match="'ensemble.members' is 2; expected at most the 1 EvalNets that are"):
        make_plan(check(freeze(values)))
    # Where nothing is judged, it matters to nobody.
    assert make_plan(check(freeze(values | {"method": "im"})))


def test_unknown_method_names_the_nearest():
    values = leaf("suim_aim_pp").to_dict() | {"method": "aim_ppp"}
    with pytest.raises(UserError, match="did you mean aim_pp"):
        make_plan(freeze(values))
