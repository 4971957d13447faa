"""A stage's digest changes with every setting that can change its result, and with no other one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing

import pytest

from configs import demo as demo_file
from configs import la_cps as la_file
from imjax.config.convert import flatten, freeze
from imjax.config.joint_schema import Joint
from imjax.config.schema import Config
from imjax.data import pack
from imjax.errors import UserError
from imjax.pipeline import artifacts
from imjax.pipeline.artifacts import ArtifactStore, shared_inputs
from imjax.pipeline.plan import make_plan
from imjax.pipeline.source_digest import digest_of, source_digest
from imjax.pipeline.stages import JointStage

NO_STAGE = {
    "data.dir": "the hash of the packed data has the files, wherever they lie",
    "data.cache": "where the packed copy lies",
    "data.keep_split": "the hash of the packed data has the division",
    "nets_per_device": "how many nets a device holds at once",
    "devices_per_net": "how many devices share a batch",
    "max_device_dataset_mib": "whether a set is streamed",
    "on_nan": "whether a run goes on after a failed net; may be changed in its folder",
    "tracker": "who else gets the scalars",
    "report_top_k": "read by the final table and the report",
    "baselines": "says which stages there are, not what one gives",
    "generations": "says how many stages there are, not what one gives",
}
"""Keys that must change no stage's digest, and why."""

OTHER_VALUES = {
    "method": "gt_im_pp",
    "recipe": "strong",
    "generations": 1,
    "baselines": ("ldt", "aldt", "fdt"),
    "consistency.level": "high",
    "model.backbone": "unet_dropout",
    "model.weights": "imagenet",
    "model.auxiliary": "scales",
    "joint.pixel_weighting": "csl",
    "joint.patch": (16, 16, 16),
}
"""Where a value made from the old one would not be valid."""


def all_keys(cls=Config, prefix=""):
    """Dotted names of all keys, from the types, so that a new key is tested without a line here."""
    hints = typing.get_type_hints(cls)
    for name, hint in hints.items():
        if dataclasses.is_dataclass(hint):
            yield from all_keys(hint, f"{prefix}{name}.")
        else:
            yield prefix + name


def other(key, value):
    """A value of the same type that differs in every entry."""
    if key in OTHER_VALUES:
        return OTHER_VALUES[key]
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return tuple(other(key, entry) for entry in value) or (0.25,) * 4
    # Two more, as a batch of a joint method has to be even.
    return {str: lambda: value + "x", int: lambda: value + 2, float: lambda: value / 2 + 0.01}[type(value)]()


def changed(config, key, value):
    """The configuration with another value of one key."""
    group, _, name = key.rpartition(".")
    if not group:
        return dataclasses.replace(config, **{name: value})
    inner = config
    for part in group.split("."):
        inner = getattr(inner, part)
    return changed(config, group, dataclasses.replace(inner, **{name: value}))


def value_of(config, key):
    for part in key.split("."):
        config = getattr(config, part)
    return config


def digests(config, tmp_path):
    """Digest by stage, with a stand-in for packing: its hash has the settings, not where files lie."""
    packed = hashlib.sha256(json.dumps(pack.packing_settings(config.data)).encode()).hexdigest()
    stages = make_plan(config)
    store = ArtifactStore(tmp_path, stages, shared_inputs(config, packed))
    # The name of a joint method's only stage has its weighting in it.
    return {
        "joint" if isinstance(stage, JointStage) else stage.name: store.digest(stage.name) for stage in stages
    }


def changes(config, key, tmp_path):
    """Stages with another digest after a change of the key; None: the change is not valid here."""
    try:
        after = digests(changed(config, key, other(key, value_of(config, key))), tmp_path)
    except UserError:
        return None
    before = digests(config, tmp_path)
    return {name for name in before.keys() & after.keys() if before[name] != after[name]}


def configuration(**values):
    base = freeze(demo_file.get_config("tiny").to_dict())
    # One more EvalNet than a change of the ensemble asks for.
    evalnet = dataclasses.replace(base.evalnet, num_nets=8)
    return dataclasses.replace(base, evalnet=evalnet, **values)


PLANS = {
    **{name: configuration(method=name) for name in ("aim_pp", "evalnet", "consistency", "input_ensemble")},
    **{name: configuration(method=name, baselines=()) for name in ("cps", "simeps", "fixmatch")},
    "strong": configuration(method="cps", baselines=(), recipe="strong"),
    "cps_metassl": configuration(method="cps", baselines=(), joint=Joint(pixel_weighting="metassl")),
    "fixmatch_blocking": configuration(
        method="fixmatch", baselines=(), joint=Joint(pixel_weighting="inconsistency")
    ),
    "la": freeze(la_file.get_config("tiny").to_dict()),
}


@pytest.mark.parametrize("key", list(all_keys()))
def test_every_key_changes_a_digest_or_is_listed_with_a_reason(key, tmp_path):
    found = {name: changes(config, key, tmp_path) for name, config in PLANS.items()}
    assert any(stages is not None for stages in found.values()), "the other value is valid in no plan"
    if key in NO_STAGE:
        assert not any(found.values()), f"{key} is listed as of no stage: {found}"
    else:
        assert any(found.values()), f"no stage's digest depends on {key}"


def test_the_lists_name_keys_that_exist():
    keys = set(all_keys())
    assert keys >= {*NO_STAGE, *OTHER_VALUES, *artifacts.NOT_SHARED}
    assert {key.split(".")[0] for key in keys} >= artifacts.CARRIED_BY_STAGES


SHARED = [
    "seed", "empty_iou", "eval_batch_size", "member_execution", "model.backbone", "model.dropout",
    "model.features", "model.dropouts", "model.momentum", "model.dtype", "model.convolution",
    "model.auxiliary", "model.weights", "data.label_fraction",
]  # fmt: skip


@pytest.mark.parametrize("key", SHARED)
@pytest.mark.parametrize("plan", PLANS)
def test_what_every_stage_depends_on_changes_every_digest(plan, key, tmp_path):
    config = PLANS[plan]
    if plan == "la" and key == "model.backbone":
        # It has that value already.
        config = changed(config, key, "unet_residual")
    assert changes(config, key, tmp_path) == set(digests(config, tmp_path))


def test_shared_keys_are_all_but_those_of_stages():
    """A new key counts for every stage until it is named in `artifacts`, and then here it is missing."""
    (_, _, values) = shared_inputs(PLANS["aim_pp"], "data")
    assert [key for key, _ in values] == ["empty_iou", "eval_batch_size", "member_execution"]


@pytest.mark.parametrize("key", sorted(set(all_keys()) - {"evalnet.num_nets"}))
def test_a_key_of_other_stages_leaves_the_nets_of_ldt(key, tmp_path):
    """Or methods and sweeps would not share them."""
    own = {
        *SHARED, "num_baseline_nets", "select_on_test", "recipe", "model.width", "ensemble.members",
        *(key for key in all_keys() if key.split(".")[0] in ("train", "aldt", "mask", "data")),
    } - set(NO_STAGE)  # fmt: skip
    found = changes(PLANS["aim_pp"], key, tmp_path)
    if found is not None:
        assert ("train_ldt" in found) == (key in own)


def test_methods_share_the_nets_of_ldt(tmp_path):
    methods = ("aim_pp", "evalnet", "consistency", "input_ensemble", "im", "noisy_student")
    assert len({digests(configuration(method=name), tmp_path)["train_ldt"] for name in methods}) == 1


def test_runs_of_two_backbones_do_not_share_ldt(tmp_path):
    first = PLANS["aim_pp"]
    second = changed(first, "model.backbone", "unet_dropout")
    stages = make_plan(first)
    store = ArtifactStore(tmp_path / "first", stages, shared_inputs(first, "data"))
    store.commit("train_ldt", store.begin("train_ldt"), {})
    for config, folder in ((first, store.folder("train_ldt")), (second, None)):
        run = ArtifactStore(
            tmp_path / "second", make_plan(config), shared_inputs(config, "data"), [tmp_path / "first"]
        )
        assert run.find_reusable_stage("train_ldt") == folder


def test_other_code_is_another_stage_and_the_reason_is_known(tmp_path, monkeypatch):
    config = PLANS["aim_pp"]

    def opened(config=config):
        return ArtifactStore(tmp_path, make_plan(config), shared_inputs(config, "data"))

    store = opened()
    store.commit("train_ldt", store.begin("train_ldt"), {})
    assert opened().is_done("train_ldt") and not opened().outdated_reason("train_ldt")
    assert not opened().is_done("train_aldt") and not opened().outdated_reason("train_aldt")
    changed_settings = opened(changed(config, "seed", 7))
    assert not changed_settings.is_done("train_ldt")
    assert changed_settings.outdated_reason("train_ldt") == "settings, data or an earlier stage changed"
    monkeypatch.setattr(artifacts, "source_digest", lambda: "other code")
    assert not opened().is_done("train_ldt")
    assert opened().outdated_reason("train_ldt") == "the code of imjax changed"


def test_the_source_digest_sees_contents_names_and_new_files(tmp_path):
    package = tmp_path / "package"
    (package / "inner").mkdir(parents=True)
    (package / "a.py").write_text("x = 1\n")
    (package / "inner" / "b.py").write_text("y = 2\n")
    seen = [digest_of(package)]
    (package / "notes.txt").write_text("no code")
    assert digest_of(package) == seen[0]
    (package / "a.py").write_text("x = 1  # why\n")
    seen.append(digest_of(package))
    (package / "a.py").rename(package / "c.py")
    seen.append(digest_of(package))
    (package / "inner" / "new.py").write_text("")
    seen.append(digest_of(package))
    assert len(set(seen)) == 4


def test_the_source_digest_is_of_this_package_and_computed_once(monkeypatch):
    first = source_digest()
    monkeypatch.setattr(hashlib, "sha256", None)
    assert source_digest() == first and len(first) == 64


def test_flatten_has_every_key():
    """`shared_inputs` goes through values, these tests through types."""
    assert set(flatten(dataclasses.asdict(PLANS["la"]))) == set(all_keys())
