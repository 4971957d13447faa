"""Every benchmark with imjax alone and tiny sizes: its table, and its last line as JSON."""

import json

import jax.numpy as jnp
import pytest
from absl import flags
from flax import linen as nn
from user_errors import raises_user_error

from benchmarks import augment, common, gpu, profile, pseudo_labels, scaling, train_step, whole_run, worker
from benchmarks.ours import STRATEGIES, STRATEGIES_OF_DEVICE, Training
from benchmarks.timing import Absent, Failed
from imjax.errors import ErrorCode


@pytest.fixture
def flagged(monkeypatch):
    """Gives a benchmark's flags, as parsed from words, to it."""

    def give(module, *words):
        values = flags.FlagValues()
        with monkeypatch.context() as patch:
            for kind in ("integer", "float", "bool", "list", "string", "enum"):
                define = getattr(flags, f"DEFINE_{kind}")
                patch.setattr(
                    flags, f"DEFINE_{kind}", lambda *a, d=define, **k: d(*a, flag_values=values, **k)
                )
            module.define_flags()
        values(["benchmark", *words])
        for one in (module, common):
            monkeypatch.setattr(one, "FLAGS", values)

    return give


class InProcess(worker.Worker):
    """A worker of this process: starting another takes seconds."""

    def open(self):
        self._contestant = None

    def stop(self):
        self._contestant = None

    def _ask(self, request):
        reply, self._contestant = worker.answer(request, self._contestant)
        self.facts = reply["facts"]
        return reply


class Small(nn.Module):
    """In the place of the U-Net, which takes half a minute to compile."""

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.BatchNorm(not train)(nn.Conv(4, (3, 3))(images.astype(jnp.float32) / 255))
        return nn.Dense(9)(nn.relu(x))


@pytest.fixture
def small(monkeypatch):
    """Everything is measured with `Small`, and in this process."""
    monkeypatch.setattr("imjax.models.unet.UNet", lambda *_, **__: Small())
    for module in (pseudo_labels, augment, train_step):
        monkeypatch.setattr(module, "Worker", InProcess)
    monkeypatch.setattr(augment, "STRENGTHS", {"strong": (3, 25, 0.5, 25.0)})


class Quick:
    """Stands in for a contestant that would train."""

    facts = {"device": "none", "parameters": 3, "step_flops": 4e9, "step_bytes": 1e9}

    def __init__(self, **arguments):
        assert arguments["size"] == 32

    def run(self, repeats):
        return 8 * repeats


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (pseudo_labels, {"imjax"}),
        (augment, {"imjax", "OpenCV, files", "OpenCV, in memory"}),
    ],
)
def test_quick_mode(module, names, flagged, small, capsys):
    flagged(module, "--quick", "--skip=keras,torch")
    module.main([])
    *lines, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert {row["name"] for row in found["rows"]} == names
    assert all(row["rounds"] == 3 and row["rate"]["median"] > 0 for row in found["rows"])
    assert lines[0].split()[:3] == ["case", "contestant", "images/s"]
    assert len(lines) == 1 + len(found["rows"]) and found["machine"]["cores"] >= 1


def test_train_step(flagged, small, capsys):
    flagged(train_step, "--quick", "--seconds=0.01", "--skip=keras,torch,on one device")
    train_step.main([])
    *lines, last = capsys.readouterr().out.splitlines()
    one, several = json.loads(last)["rows"]
    assert one["name"] == "imjax, 1 member" and one["facts"]["devices"] == 1
    assert one["facts"]["step_flops"] > 0 and one["facts"]["step_bytes"] > 0
    assert several["name"] == "imjax, 4 members, as a run does" and not several["note"]
    assert one["facts"]["parameters"] == several["facts"]["parameters"]
    assert all(row["facts"]["share of limit"] > 0 for row in (one, several))
    assert "GFLOP/s" in lines[-1] and len(lines) == 4


def test_every_strategy_takes_part(flagged):
    flagged(train_step)
    names = [entrant.name for entrant in train_step.entrants(64, 8, 1.0)]
    assert len(names) == 1 + len(STRATEGIES) + len(train_step.PEERS)
    # Members by vmap take seconds a step where images are large.
    assert len(train_step.entrants(128, 16, 1.0)) == len(names) - 1


def test_images_of_all_members_are_counted_and_of_no_padding(small):
    three = Training(size=32, batch=2, members=3, per_chunk=-1, images=8)
    assert three.run(2) == 3 * 2 * 2


def test_a_worker_answers_from_its_process():
    one = worker.Worker("limits", "benchmarks.peers_serial:Augmenting", {"size": 32, "files": False})
    one.seconds = 0
    try:
        assert one.start() == {"images": 64}
        assert one.turn().images == 64 and one.turn().seconds > 0
    finally:
        one.stop()


def test_cases_are_side_and_batch():
    assert train_step.case("64x8") == (64, 8)
    for text in ("64", "64x0", "0x8", "60x8", "axb"):
        with raises_user_error(ErrorCode.MALFORMED, "--cases"):
            train_step.case(text)


def test_share_of_the_limit_by_hand():
    facts = {"step_flops": 4e9, "step_bytes": 1e9}
    rows = [
        {"name": "ours", "facts": facts, "rate": {"median": 4.0}},
        {"name": "peer", "facts": {}, "rate": {"median": 8.0}},
    ]
    # 4 GFLOP at 8 GFLOP/s take 0.5 s, 1 GB at 10 GB/s 0.1 s; a step of 8 images takes 2 s and 1 s.
    ours, peer = train_step.with_share(rows, {"flops": 8e9, "bytes": 1e10}, batch=8)
    assert ours["facts"]["share of limit"] == 0.25 and peer["facts"]["share of limit"] == 0.5


def test_networks_that_differ_are_refused():
    rows = [{"name": name, "facts": {"parameters": count}} for name, count in (("a", 3), ("b", 4))]
    with pytest.raises(Failed, match="differ"):
        train_step.same_nets(rows)


def test_gpu_writes_what_it_has_after_every_case(flagged, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(gpu, "Worker", InProcess)
    monkeypatch.setattr("benchmarks.ours.Training", Quick)
    monkeypatch.setattr(gpu, "limits", lambda *_: {"flops": 1e12, "bytes": 1e10})
    words = (
        "--members=4,1",
        "--shapes=32x2x1,32x2x0.5",
        "--dtype=float32",
        "--norest",
        "--notorch",
        "--wave=1",
    )
    flagged(gpu, f"--out={tmp_path}", "--dtype=float32", "--seconds=0.001", *words)
    gpu.main([])
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert [(r["alpha"], r["members"], r["strategy"]) for r in found["rows"]] == [
        (alpha, members, strategy)
        for members, strategy in (
            (4, "products"), (4, "split products"), (4, "split products+scan"), (1, "split products")
        )
        for alpha in (1.0, 0.5)
    ]  # fmt: skip
    row = found["rows"][0]
    assert row["ms"] == pytest.approx(1000 * 4 * 2 / row["rate"]["median"]) and row["first_step_seconds"] > 0
    assert found["rows"] == json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    # Cut off after two cases, and a third that failed: the next call measures what is not there.
    rows = found["rows"]
    kept = [rows[0], rows[4], {**rows[1], "note": "out of memory"}]
    (tmp_path / "gpu.json").write_text(json.dumps(found | {"rows": kept}))
    monkeypatch.setattr(gpu, "limits", lambda *_: pytest.fail("measured before"))
    gpu.main([])
    again = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert again[:2] == kept[:2] and len(again) == 8 and not any("note" in row for row in again)
    # Figures of another machine do not count.
    (tmp_path / "gpu.json").write_text(json.dumps(found | {"machine": {}}))
    assert not gpu.Record(tmp_path, 0.0).rows


def test_gpu_cases_name_strategies_that_exist(flagged, tmp_path):
    flagged(gpu, f"--out={tmp_path}")
    found = list(gpu.cases())
    assert len(found) == len(set(found))
    ours = {case.strategy.partition("+")[0] for case in found if not case.strategy.startswith(gpu.TORCH)}
    assert ours - {"generation"} <= set(STRATEGIES_OF_DEVICE)


def test_gpu_shares_of_the_limits_by_hand(tmp_path):
    record = gpu.Record(tmp_path, 0.0)
    record.limits = {"flops": 8e9, "bytes": 1e10}
    row = {"size": 32, "batch": 8, "alpha": 1.0, "rate": {"median": 4.0}}
    row["facts"] = {"step_flops": 4e9, "step_bytes": 1e9}
    gpu._share(row, record)
    # 4 GFLOP at 8 GFLOP/s take 0.5 s, 1 GB at 10 GB/s 0.1 s; the step of 8 images took 2 s.
    assert row["share_of_product_rate"] == 0.25 and row["share_of_bandwidth"] == 0.05


def test_gpu_wants_an_accelerator(monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    gpu.check_device({"device": "NVIDIA H100"})
    with raises_user_error(ErrorCode.UNAVAILABLE, "JAX_PLATFORMS"):
        gpu.check_device({"device": "cpu"})
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    gpu.check_device({"device": "cpu"})


def test_gpu_begins_nothing_without_time(flagged, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(gpu, "measure", lambda *_: pytest.fail("no time"))
    monkeypatch.setattr(gpu, "limits", lambda *_: {"flops": 1e12, "bytes": 1e10})
    flagged(gpu, f"--out={tmp_path}", "--minutes=0")
    gpu.main([])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["rows"] == [] and told["left"] == len(list(gpu.cases()))
    flagged(gpu)
    with raises_user_error(ErrorCode.MISSING, "--out"):
        gpu.main([])


def test_profile_sums_launches_by_kernel():
    rows = profile.summarize({"a": [1e6, 3e6], "b": [12e6]}, steps=2)
    assert rows == [
        {"kernel": "b", "launches": 0.5, "ms": 6.0, "share": 0.75},
        {"kernel": "a", "launches": 1.0, "ms": 2.0, "share": 0.25},
    ]


def test_scaling_finds_the_slowest_imports():
    # a.b twice, as of a command that starts itself anew.
    own = ("30 |    900 |   a.b", "9 | 9 | a.b", "8 | 8 | d", "self [us] | …", "2000000 | 3 | c")
    text = "\n".join(f"import time: {line}" for line in own)
    assert scaling.slowest_imports(text, 2) == {"c": 2.0, "a.b": 3e-05}


def test_scaling_varies_one_thing(flagged):
    flagged(scaling, "--quick")
    assert scaling.entrant("members", 8).args == scaling.QUICK | {"members": 8}
    assert "device_count=4" in scaling.entrant("devices", 4).environment["XLA_FLAGS"]


def test_a_whole_run_is_a_command_with_a_score(tmp_path):
    made = whole_run.Command("x", True, lambda turn: (["true"], {}), lambda turn: turn / 4, warm_up=True)
    made.start()
    assert made.turn().images == 1 and made.score == 0.5
    with pytest.raises(Failed):
        whole_run.Command("x", True, lambda turn: (["false"], {}), lambda turn: 0.0).turn()


def test_a_peer_that_is_missing_is_said_in_one_line():
    blocked = {"PYTHONPATH": str(worker.ROOT / "tests" / "benchmarks" / "without_torch")}
    one = worker.Worker("peer", "benchmarks.peers_torch:Training", {}, environment=blocked)
    try:
        with pytest.raises(Absent, match=r"pip install -r benchmarks/requirements\.txt"):
            one.start()
    finally:
        one.stop()


def test_a_worker_that_fails_says_why():
    one = worker.Worker("x", "benchmarks.machine:nothing", {})
    try:
        with pytest.raises(Failed, match="AttributeError"):
            one.start()
    finally:
        one.stop()


@pytest.mark.parametrize("words", [("--rounds=0",), ("--seconds=0",)])
def test_flags_without_sense(words, flagged):
    flagged(augment, *words)
    with raises_user_error(ErrorCode.OUT_OF_RANGE, words[0].partition("=")[0]):
        augment.main([])
