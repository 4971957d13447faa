"""Devices that share the batch of one net: the numbers of one device, and a part of its work for each."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_nets import LABELED, OTHER, SPEC, VAL, Plain, images, system

from imjax.config.schema import AugmentStrength, StrongRecipe, Train
from imjax.methods.registry import JOINT_METHODS
from imjax.models.unet_dropout import UNetDropout
from imjax.training import ensemble_parallel, step
from imjax.training.checkpoints import Checkpoints
from imjax.training.data_loader import EnsembleLoader, PairedLoader
from imjax.training.ensemble_parallel import Members, count_sharing_devices
from imjax.training.loop import fit
from imjax.training.metric_writer import Writer
from imjax.training.objective import consistency_objective, segmentation_objective
from imjax.training.progress import StageLogger
from imjax.training.runtime import Runtime
from imjax.training.semi_supervised_objective import joint_objective

PAIRED = dict(zip(("labeled", "unlabeled"), (images(4), images(4)), strict=True))


@pytest.mark.parametrize(
    ("members", "batch", "most", "expected"),
    [
        (1, 8, 0, 8), (2, 8, 0, 4), (3, 0, 0, 2), (5, 8, 0, 1), (9, 8, 0, 1),
        # Divisors of the batch only, and no more than asked for.
        (1, 6, 0, 6), (1, 7, 0, 7), (1, 10, 0, 5), (1, 0, 3, 3), (1, 8, 3, 2), (1, 8, 1, 1),
    ],
)  # fmt: skip
def test_idle_devices_share_batches(monkeypatch, members, batch, most, expected):
    accelerator = type("Device", (), {"platform": "gpu"})()
    monkeypatch.setattr(ensemble_parallel.jax, "local_devices", lambda: [accelerator] * 8)
    assert count_sharing_devices(members, batch, most) == expected


def test_cpu_devices_share_no_batch_unless_asked_to():
    assert count_sharing_devices(1, 8) == 1 and count_sharing_devices(1, 8, 4) == 4
    assert Runtime(2).place(1, lambda: 1).sharing == 1
    members = Runtime(2, devices_per_net=4).place(1, lambda: 1, batch=6)
    assert members.sharing == 3 and len(members.devices) == 3
    said = Runtime(2, devices_per_net=4).describe_sharing(members)
    assert said.startswith("3 of 4 devices share each batch") and "evenly" in said
    assert Runtime(2, devices_per_net=3).describe_sharing(members).startswith("3 devices share each batch")
    assert Runtime(2, devices_per_net=2).describe_sharing(Members(1)).startswith("1 of 2 has each")
    assert not Runtime(2).describe_sharing(Members(1))


def test_arrays_come_back_and_a_second_step_needs_no_program():
    compiled = []

    def count(event, seconds, **_):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(count)
    members, tree = Members(2, sharing=2), {"w": np.arange(6.0, dtype=np.float32).reshape(2, 3)}
    batch = np.arange(16, dtype=np.float32).reshape(2, 8)
    jax.tree.map(np.testing.assert_array_equal, members.gather(members.shard(tree)), tree)
    chunks = members.shard_batch(batch)
    assert {shard.data.shape for shard in chunks[0].addressable_shards} == {(1, 1, 4)}
    np.testing.assert_array_equal(members.gather(chunks), batch)
    move = members.map(lambda s, x: {"w": s["w"] + jnp.roll(x, 1)[:3]}, donate=(0,))
    state = members.shard(tree)
    compiled.clear()
    for _ in range(2):
        state = move(state, chunks)
    assert len(compiled) == 1
    expected = tree["w"] + 2 * np.roll(batch, 1, 1)[:, :3]
    np.testing.assert_array_equal(members.gather(state)["w"], expected)


def plain(recipe=None):
    """Supervised training, as of LDT, ALDT and every generation of IM."""
    objective = segmentation_objective(Plain(), SPEC, (8, 8), recipe)
    label = [np.concatenate(part) for part in zip(*PAIRED.values(), strict=True)]
    return objective, dict(zip(("image", "label"), label, strict=True)), "loss"


def consistency():
    objective = consistency_objective(
        UNetDropout(2, (2, 3), (0.1, 0.1)), SPEC, (8, 8), AugmentStrength(1, 9, 0.2, 9.0), ()
    )
    return objective, {"image": PAIRED["unlabeled"][0]}, "consistency_loss"


def joint(name, weighting="none", **changes):
    one, side = system(name, weighting, **changes), 8
    if one.method.auxiliary_decoders:
        # Of enough scales for the heads of a pyramid, and images for so many.
        decoders, side = {"auxiliaries": one.method.auxiliary_decoders, "pyramid": one.method.pyramid}, 16
        one = one._replace(net=UNetDropout(2, (2, 3, 4, 5, 6), (0.1,) * 5, **decoders))
    levels = dataclasses.replace(one.joint.simeps, feature_levels=("encoder", "output"))
    one = one._replace(joint=dataclasses.replace(one.joint, simeps=levels))
    (image, label), (other, _) = ((enlarge(x, side) for x in PAIRED[half]) for half in PAIRED)
    batch = {"labeled": {"image": image, "label": label}, "unlabeled": {"image": other}}
    return joint_objective(one, (side, side)), batch, "loss"


def enlarge(x, side):
    """Images `[n, 8, 8, ...]` with so many pixels along each side."""
    return x.repeat(side // 8, 1).repeat(side // 8, 2)


FIXMATCH = {"fixmatch": lambda: joint("fixmatch", labeler="teacher", confidence_threshold=0.5)}
"""Tested always: a teacher, draws for each image, exchanges between images, and a mask."""
REST = {
    "plain": plain,
    "strong": lambda: plain(StrongRecipe()),
    "consistency": consistency,
    "csl": lambda: joint("fixmatch", "csl", confidence_threshold=0.5),
    "blocked": lambda: joint("mean_teacher", "inconsistency", block_input=True),
    "metassl": lambda: joint("cps", "metassl"),
} | {name: lambda name=name: joint(name) for name in JOINT_METHODS if name != "fixmatch"}


def cases():
    return [*FIXMATCH, *(pytest.param(name, marks=pytest.mark.long) for name in REST)]


@pytest.mark.parametrize("name", cases())
def test_every_objective_gives_the_numbers_of_one_device(name):
    objective, batch, loss = (FIXMATCH | REST)[name]()
    apart, work = take_steps(objective, batch, loss, Members(1, devices=jax.devices()[:1]))
    shared, part = take_steps(objective, batch, loss, Members(1, sharing=4))
    assert_close(shared.variables, apart.variables)
    assert_close(shared.sums, apart.sums)
    assert apart.sums["loss"] > 0
    # A quarter each, and what they all have to do.
    assert part < 0.5 * work


def take_steps(objective, batch, loss, members):
    """The state after two steps, and the operations of one device in each."""
    tx = optax.sgd(0.02)
    state = step.init(objective, tx, np.inf, jax.random.key(0))
    state = members.shard(jax.tree.map(lambda leaf: np.asarray(leaf)[None], state))
    batch = members.shard_batch(jax.tree.map(lambda leaf: leaf[None], batch))
    keys = members.shard(jnp.stack([jax.random.key(1)]))
    decay = objective.ema_decay
    one_step = members.map(lambda s, b, k: step.train_step(objective.losses[loss], tx, s, b, k, decay))
    # What these tests take is compilation.
    unoptimized = {"xla_backend_optimization_level": 0}
    program = jax.jit(lambda *args: one_step(*args)).lower(state, batch, keys).compile(unoptimized)
    for _ in range(2):
        state = program(state, batch, keys)
    return members.gather(state), program.cost_analysis()["flops"]


def assert_close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), found, expected)


@pytest.mark.parametrize("task", ["plain", pytest.param("joint", marks=pytest.mark.long)])
def test_a_training_gives_the_numbers_of_one_device(tmp_path, task):
    """Whole: one or two sets, from memory or streamed, val of a size that has to be padded."""
    apart = train(tmp_path / "apart", task, Members(1, devices=jax.devices()[:1]), 64)
    shared = train(tmp_path / "shared", task, Members(1, sharing=3), 64)
    streamed = train(tmp_path / "streamed", task, Members(1, sharing=3), 0)
    jax.tree.map(np.testing.assert_array_equal, streamed.variables, shared.variables)
    assert_close(shared.variables, apart.variables)
    np.testing.assert_allclose(shared.value, apart.value, rtol=1e-4)
    assert shared.epoch == apart.epoch


def train(folder, task, members, resident):
    options = Train(
        epochs=2, steps_per_epoch=3, batch_size=6, optimizer="sgd", schedule="poly", learning_rate=0.02,
        momentum=0.9, weight_decay=1e-4, adam_epsilon=1e-7, patience=1,
    )  # fmt: skip
    labeled = EnsembleLoader({"image": LABELED[0], "label": LABELED[1]}, members, resident)
    if task == "plain":
        objective, source = plain()[0], labeled
    else:
        objective = joint_objective(system("mean_teacher", "metassl"), (8, 8))
        unlabeled = EnsembleLoader({"image": OTHER[0]}, members, resident)
        source = PairedLoader({"labeled": labeled, "unlabeled": unlabeled})
    folder.mkdir()
    writer, checkpoints = Writer(folder), Checkpoints(folder / "checkpoints")
    try:
        return fit(
            objective,
            options,
            members,
            [source],
            EnsembleLoader({"image": VAL[0], "label": VAL[1]}, members, resident),
            steps=(3,),
            seed=1,
            stage="toy",
            eval_batch_size=4,
            checkpoints=checkpoints,
            stage_logger=StageLogger(writer, "toy", "1/1", None, lambda: False),
        )
    finally:
        checkpoints.close()
        writer.close()
