"""The training loop on a least-squares task whose every step can be worked out in numpy."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.config.schema import Train
from imjax.errors import Stopped, TrainingError
from imjax.training import loop
from imjax.training.budget import steps_per_epoch
from imjax.training.checkpoints import Checkpoints
from imjax.training.data_loader import EnsembleLoader
from imjax.training.ensemble_parallel import Members
from imjax.training.loop import _member_keys, fit
from imjax.training.metric_writer import Writer
from imjax.training.objective import Objective, StepAux
from imjax.training.progress import StageLogger

pytestmark = pytest.mark.optimized
OPTIONS = Train(
    epochs=4,
    steps_per_epoch=5,
    batch_size=3,
    optimizer="adamw",
    schedule="constant",
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=1e-3,
    adam_epsilon=1e-7,
    patience=2,
)
X = np.linspace(-1, 1, 8, dtype=np.float32)
DATA = {"x": X, "y": 3 * X + 1}


def line(blow_up=False):
    def init(key):
        start = {"w": jax.random.normal(key, ()), "b": jnp.zeros(())}
        return {"params": start, "batch_stats": {"seen": jnp.zeros(())}}

    def error(variables, batch):
        p = variables["params"]
        return jnp.square(p["w"] * batch["x"] + p["b"] - batch["y"])

    def loss(variables, batch, key):
        value = error(variables, batch).mean()
        seen = variables["batch_stats"]["seen"] + 1
        after = StepAux({"batch_stats": {"seen": seen}}, {"twice": 2 * value})
        return jnp.where(blow_up & (seen > 7), jnp.nan, value), after

    def watch(variables, batch):
        return {"loss": (error(variables, batch) * batch["counted"]).sum() / batch["counted"].sum()}

    return Objective(
        ("line", blow_up),
        init,
        {"loss": loss},
        watch,
        "loss",
        larger_is_better=False,
        metric_names=("twice",),
    )


class StopAfter:
    """True from the n-th time it is asked."""

    def __init__(self, n):
        self.left = n

    def __call__(self):
        self.left -= 1
        return self.left < 0


def train(
    folder,
    objective=None,
    stopping=lambda: False,
    members=None,
    resident=64,
    options=OPTIONS,
    drop=False,
    seed=1,
):
    folder.mkdir(exist_ok=True)
    members, objective = members or Members(3), objective or line()
    sources = [EnsembleLoader(DATA, members, resident) for _ in objective.losses]
    writer, checkpoints = Writer(folder), Checkpoints(folder / "checkpoints")
    try:
        return fit(
            objective,
            options,
            members,
            sources,
            EnsembleLoader(DATA, members, resident),
            steps=steps_per_epoch(options, [source.count for source in sources]),
            seed=seed,
            stage="line",
            eval_batch_size=5,
            checkpoints=checkpoints,
            stage_logger=StageLogger(writer, "line", "1/1", None, stopping),
            drop=drop,
        )
    finally:
        checkpoints.close()
        writer.close()


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a.variables, b.variables)
    np.testing.assert_array_equal(a.value, b.value)
    np.testing.assert_array_equal(a.epoch, b.epoch)


def test_learns_and_ranks_by_val_loss(tmp_path):
    fitted = train(tmp_path, options=Train(**{**vars(OPTIONS), "epochs": 40}))
    assert (fitted.value < 0.05).all()
    assert list(fitted.value[fitted.ranked()]) == sorted(fitted.value)


def test_a_seed_decides_and_another_one_differs(tmp_path):
    one, same, other = (train(tmp_path / str(i), seed=seed) for i, seed in enumerate((1, 1, 2)))
    assert_same(one, same)
    for before, after in zip(
        *(jax.tree.leaves(each.variables["params"]) for each in (one, other)), strict=True
    ):
        assert (before != after).all()


def test_a_stage_is_traced_once_and_its_like_not_again(tmp_path):
    """Another trace is another compilation: minutes a run, where each generation had one."""
    traces = []

    def counted(name, function):
        def call(*args):
            traces.append(name)
            return function(*args)

        return call

    plain = line()
    objective = dataclasses.replace(
        plain,
        spec="counted",
        init=counted("init", plain.init),
        losses={"loss": counted("step", plain.losses["loss"])},
        eval_fn=counted("watch", plain.eval_fn),
    )
    # Five members on four devices, one at a time: two chunks, of which the second is padded.
    train(tmp_path / "first", objective, members=Members(5, 1))
    assert sorted(traces) == ["init", "step", "watch"]
    # The next generation's stage: other data, steps and epochs, and objects of its own that are equal.
    again = dataclasses.replace(objective, eval_fn=counted("watch", plain.eval_fn))
    train(tmp_path / "second", again, members=Members(5, 1), options=dataclasses.replace(OPTIONS, epochs=2))
    assert sorted(traces) == ["init", "step", "watch"]
    train(tmp_path / "third", dataclasses.replace(objective, spec="other"), members=Members(5, 1))
    assert sorted(traces) == 2 * ["init"] + 2 * ["step"] + 2 * ["watch"]


def test_members_start_from_given_weights_without_a_program_of_their_own(tmp_path):
    starts = [{"params": {"w": np.float32(w), "b": np.float32(1)}} for w in (3, 5)]
    options = dataclasses.replace(OPTIONS, learning_rate=0.0, weight_decay=0.0)
    for number, start in enumerate(starts):
        start = start | {"batch_stats": {"seen": np.float32(0)}}
        objective = dataclasses.replace(line(), start=(start,))
        fitted = train(tmp_path / str(number), objective, options=options)
        assert fitted.variables["params"]["w"].tolist() == [start["params"]["w"]] * 3


def test_members_start_in_turn_from_what_fits_and_the_rest_is_drawn(tmp_path):
    options = dataclasses.replace(OPTIONS, learning_rate=0.0, weight_decay=0.0)
    drawn = train(tmp_path / "drawn", options=options).variables["params"]
    # An array of another shape, and one that the net does not have.
    starts = tuple({"params": {"w": np.float32(w), "b": np.ones(7), "other": np.ones(2)}} for w in (3, 5))
    fitted = train(tmp_path / "start", dataclasses.replace(line(), start=starts), options=options)
    assert fitted.variables["params"]["w"].tolist() == [3, 5, 3]
    np.testing.assert_array_equal(fitted.variables["params"]["b"], drawn["b"])


def test_stopped_anywhere_and_resumed_is_bit_identical(tmp_path):
    whole = train(tmp_path / "whole")
    for stop_at in (0, 3, 4, 12):
        folder = tmp_path / str(stop_at)
        with pytest.raises(Stopped):
            train(folder, stopping=StopAfter(stop_at))
        assert_same(train(folder), whole)
    # Resuming does not repeat lines of the metrics either.
    lines = [
        [json.loads(t) for t in (tmp_path / f / "metrics.jsonl").read_text().splitlines()]
        for f in ("whole", "12")
    ]
    assert lines[0] == lines[1]


def test_a_resumed_stage_draws_no_weights(tmp_path, monkeypatch):
    with pytest.raises(Stopped):
        train(tmp_path, stopping=StopAfter(3))
    monkeypatch.setattr(loop, "_initial_state", lambda *_: pytest.fail("the state is in the checkpoint"))
    train(tmp_path)


def test_layouts_give_the_same_numbers(tmp_path):
    one = train(tmp_path / "1", members=Members(3, 1, jax.devices()[:1]))
    four = train(tmp_path / "4", members=Members(3, 1, jax.devices()))
    batched = train(tmp_path / "v", members=Members(3, 3, jax.devices()[:1]))
    streamed = train(tmp_path / "s", resident=0)
    assert_same(one, four)
    assert_same(one, streamed)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one.variables, batched.variables)


def test_best_epoch_is_kept_not_the_last(tmp_path):
    # The loss −w drives w up by the rate 0.1 a step, 0.5 an epoch: on val, (w − 1)², epoch 2 of 4 is best.
    start = {"params": {"w": jnp.zeros(())}, "batch_stats": {}}
    drift = Objective(
        "drift",
        lambda key: start,
        {"loss": lambda variables, batch, key: (-variables["params"]["w"], StepAux({"batch_stats": {}}, {}))},
        lambda variables, batch: {"loss": jnp.square(variables["params"]["w"] - 1)},
        "loss",
        larger_is_better=False,
    )
    fitted = train(tmp_path, drift)
    lines = [json.loads(text) for text in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    watched = [x["value"] for x in lines if x["split"] == "val" and x["member"] == 0]
    np.testing.assert_allclose(watched, [0.25, 0, 0.25, 1], atol=0.05)
    assert list(fitted.epoch) == [2, 2, 2]
    np.testing.assert_allclose(fitted.value, min(watched))
    np.testing.assert_allclose(fitted.variables["params"]["w"], 1, atol=0.02)


def test_a_loss_that_is_not_finite_names_stage_step_and_member(tmp_path):
    with pytest.raises(TrainingError, match=r"stage line, step 7, member 0"):
        train(tmp_path, line(blow_up=True))


def one_fails(after):
    """`line`, in which one of the three members has a loss of nan from its step `after` on."""
    whole = line()
    weights = [float(whole.init(key)["params"]["w"]) for key in _member_keys(1, "line", 3)]
    largest = max(weights)

    def init(key):
        start = whole.init(key)
        fails = start["params"]["w"] == largest
        return {"params": start["params"], "batch_stats": start["batch_stats"] | {"fails": fails}}

    def loss(variables, batch, key):
        value, found = whole.losses["loss"](variables, batch, key)
        stats = found.model_state["batch_stats"] | {"fails": variables["batch_stats"]["fails"]}
        bad = stats["fails"] & (stats["seen"] > after)
        return jnp.where(bad, jnp.nan, value), StepAux({"batch_stats": stats}, found.metrics)

    return weights.index(largest), dataclasses.replace(
        whole, spec=("fails", after), init=init, losses={"loss": loss}
    )


def test_a_member_is_dropped_and_the_others_are_as_without_it(tmp_path, said):
    bad, objective = one_fails(after=7)
    with pytest.raises(
        TrainingError, match=rf"step 7, member {bad}: .*--config.on_nan=drop to go on without"
    ):
        train(tmp_path / "stop", objective)
    whole, fitted = train(tmp_path / "whole"), train(tmp_path / "drop", objective, drop=True)
    good = [member for member in range(3) if member != bad]
    for tree in (fitted.variables["params"], fitted.variables["batch_stats"]):
        for name, leaf in tree.items():
            assert np.isfinite(leaf).all()
            if name != "fails":
                wanted = {**whole.variables["params"], **whole.variables["batch_stats"]}[name]
                np.testing.assert_array_equal(leaf[good], wanted[good])
    # Epochs have 5 steps: of the member that fails in the second, the first is kept.
    assert fitted.epoch[bad] == 1 and fitted.dropped.tolist() == [member == bad for member in range(3)]
    assert fitted.ranked()[-1] == bad and fitted.metadata()["dropped"] == [bad]
    assert sorted(fitted.metadata()["ranked"]) == good and "dropped" not in whole.metadata()
    (told,) = [text for text in said if "is dropped" in text]
    assert f"step 7, member {bad}" in told
    lines = [json.loads(text) for text in (tmp_path / "drop" / "metrics.jsonl").read_text().splitlines()]
    losses = [
        x["value"] for x in lines if x["member"] == bad and (x["split"], x["name"]) == ("train", "loss")
    ]
    assert losses[0] > 0 and losses[1:] == [None] * 3


def test_a_dropped_member_stays_dropped_when_the_run_goes_on(tmp_path):
    _, objective = one_fails(after=2)
    whole = train(tmp_path / "whole", objective, drop=True)
    assert None in whole.metadata()["value"]
    with pytest.raises(Stopped):
        train(tmp_path / "part", objective, stopping=StopAfter(8), drop=True)
    assert_same(train(tmp_path / "part", objective, drop=True), whole)


def test_nothing_is_left_when_all_members_fail(tmp_path):
    with pytest.raises(
        TrainingError, match="step 7, member 0: the loss is not finite, nor any more that of the"
    ):
        train(tmp_path, line(blow_up=True), drop=True)


def test_scalars_are_recorded_beside_the_loss(tmp_path):
    train(tmp_path)
    found = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    values = {(f["name"], f["step"], f["member"]): f["value"] for f in found if f["split"] == "train"}
    for step in (5, 20):
        np.testing.assert_allclose(values["twice", step, 1], 2 * values["loss", step, 1], rtol=1e-6)


def two_phases():
    # Each loss moves its own weight by the rate, 0.1 a step, and counts in the batch statistics.
    def push(name):
        def loss(variables, batch, key):
            stats = {"seen": variables["batch_stats"]["seen"] + 1}
            return -variables["params"][name], StepAux({"batch_stats": stats}, {})

        return loss

    start = {"params": {"a": jnp.zeros(()), "b": jnp.zeros(())}, "batch_stats": {"seen": jnp.zeros(())}}
    return Objective(
        "two phases",
        lambda key: start,
        {"loss": push("a"), "other_loss": push("b")},
        lambda variables, batch: {"loss": -variables["batch_stats"]["seen"]},
        "loss",
        larger_is_better=False,
    )


def test_phases_follow_one_another_in_every_epoch(tmp_path):
    # 5 steps an epoch over two sets of 8: 2 and 3 (rounded half to even); val is watched after each phase.
    whole = train(tmp_path / "whole", two_phases())
    lines = [json.loads(text) for text in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    mine = [x for x in lines if x["member"] == 0]
    assert [x["step"] for x in mine if x["name"] == "loss" and x["split"] == "train"] == [2, 7, 12, 17]
    assert [x["step"] for x in mine if x["name"] == "other_loss"] == [5, 10, 15, 20]
    assert [x["value"] for x in mine if x["split"] == "val"] == [-2, -5, -7, -10, -12, -15, -17, -20]
    assert list(whole.epoch) == [4, 4, 4]
    for stop_at in (0, 1, 4, 6):
        folder = tmp_path / str(stop_at)
        with pytest.raises(Stopped):
            train(folder, two_phases(), stopping=StopAfter(stop_at))
        assert_same(train(folder, two_phases()), whole)
