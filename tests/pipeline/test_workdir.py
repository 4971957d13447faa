"""An old folder with other settings or other data is refused, with what differs."""

from __future__ import annotations

import dataclasses
import json

import pytest
from user_errors import raises_user_error

from imjax.config.schema import Data, Synthetic
from imjax.data import pack
from imjax.errors import ErrorCode
from imjax.pipeline.workdir import describe_earlier_run, open_workdir, reusable_runs


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    options = Data("synthetic", height=16, width=16, synthetic=Synthetic(4, 1, 1))
    return pack.load_packed(pack.prepare_dataset(options, tmp_path_factory.mktemp("cache")))


def refusal(workdir, config, packed):
    with raises_user_error(ErrorCode.CONFLICT, workdir / "config.json") as info:
        open_workdir(workdir, config, packed)
    line = str(info.value)
    assert "\n" not in line and "name another --workdir" in line
    return line


def test_other_settings_are_shown(tmp_path, demo_config, packed):
    open_workdir(tmp_path, demo_config, packed)
    before = (tmp_path / "config.json").read_bytes()
    train = dataclasses.replace(demo_config.train, learning_rate=0.5)
    other = dataclasses.replace(demo_config, seed=7, train=train)
    line = refusal(tmp_path, other, packed)
    assert "seed: 0 → 7; train.learning_rate: " in line and "→ 0.5" in line
    assert (tmp_path / "config.json").read_bytes() == before
    # Where and how it runs is no part of what it is.
    open_workdir(tmp_path, dataclasses.replace(demo_config, on_nan="drop", max_device_dataset_mib=0), packed)


def test_other_data_are_told(tmp_path, demo_config, packed):
    open_workdir(tmp_path, demo_config, packed)
    other = dataclasses.replace(packed, manifest=packed.manifest | {"hash": "f" * 64})
    assert "a run on other data than ffffffffffff" in refusal(tmp_path, demo_config, other)


def test_what_has_changed_is_told(tmp_path, demo_config, packed):
    old = {
        "a": {"split": "test", "image": "1", "truth": "1"},
        "b": dict(split="labeled", image="1", truth="1"),
    }
    now = old | {"b": {"split": "test", "image": "1", "truth": "1"}, "c": old["b"]}
    before, after = (
        dataclasses.replace(packed, manifest=packed.manifest | {"hash": digest * 64, "samples": samples})
        for digest, samples in (("e", old), ("f", now))
    )
    open_workdir(tmp_path, demo_config, before)
    line = refusal(tmp_path, demo_config, after)
    assert "1 mask more (c), 1 image more (c)" in line and f"--from={tmp_path}" in line
    # From another folder: what changed, and that the nets have seen an image that measures now.
    model = dataclasses.replace(demo_config.model, weights=str(tmp_path))
    warm = dataclasses.replace(demo_config, model=model)
    changes, leaks = describe_earlier_run(warm, after)
    assert "1 mask more (c)" in changes and "nets start from its nets" in changes and "such as b" in leaks
    data = dataclasses.replace(warm.data, keep_split=str(tmp_path))
    changes, leaks = describe_earlier_run(dataclasses.replace(warm, data=data), before)
    assert "no image and no mask has changed" in changes and "val and test stay" in changes and not leaks
    assert describe_earlier_run(demo_config, after) == ("", "")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"config": 3}', "\udcff"])
def test_a_damaged_record_is_no_run(text, tmp_path, demo_config, packed):
    (tmp_path / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with raises_user_error(ErrorCode.DAMAGED, tmp_path / "config.json"):
        open_workdir(tmp_path, demo_config, packed)


def test_a_record_of_a_run_before_a_key_came(tmp_path, demo_config, packed):
    open_workdir(tmp_path, demo_config, packed)
    path = tmp_path / "config.json"
    old = json.loads(path.read_text())
    del old["config"]["on_nan"]
    path.write_text(json.dumps(old))
    open_workdir(tmp_path, demo_config, packed)


def test_runs_of_other_code_versions_or_devices_are_not_reused(tmp_path, demo_config, packed, said):
    names = ("own", "same", "code", "versions", "device")
    for name in names:
        open_workdir(tmp_path / name, demo_config, packed)
    for key in names[2:]:
        path = tmp_path / key / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: "another"}))
    assert reusable_runs([tmp_path / name for name in names], tmp_path / "own") == [tmp_path / "same"]
    assert said == [
        f"--reuse={tmp_path / key}: made with other {key}; no stage is copied from there" for key in names[2:]
    ]
