"""Systems of nets as members: what goes along with the parameters, batches of two sets, any layout."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_nets import JOINT, LABELED, OTHER, VAL, system

from imjax.config.schema import Train
from imjax.errors import Stopped
from imjax.methods.joint.forward import TEACHER
from imjax.methods.registry import JOINT_METHODS
from imjax.models.unet import UNet
from imjax.training.checkpoints import Checkpoints
from imjax.training.data_loader import EnsembleLoader, PairedLoader
from imjax.training.ensemble_parallel import Members
from imjax.training.loop import fit
from imjax.training.metric_writer import Writer
from imjax.training.progress import StageLogger
from imjax.training.semi_supervised_objective import joint_objective, make_loss_visualizer, split_nets

# What these tests take is compilation.
quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def batch():
    return {
        "labeled": {"image": jnp.asarray(LABELED[0]), "label": jnp.asarray(LABELED[1])},
        "unlabeled": {"image": jnp.asarray(OTHER[0][:5])},
    }


def test_the_teacher_is_the_moving_average_of_the_student():
    objective = joint_objective(system("mean_teacher", ema_decay=0.6), (8, 8))
    variables = quick(objective.init)(jax.random.key(0))
    step = quick(lambda v, key: objective.losses["loss"](v, batch(), key)[1].model_state)
    weight = lambda tree: np.asarray(tree["Dense_0"]["kernel"])  # noqa: E731
    students, teachers = [], []
    for number in range(4):
        # The optimizer's update, made by hand.
        moved = jax.tree.map(lambda x: x + number, variables["params"])  # noqa: B023
        variables = {"params": moved} | step(variables | {"params": moved}, jax.random.key(number))
        students.append(weight(variables["params"]["net0"]))
        teachers.append(weight(variables["method"][TEACHER]))
    # Decays min(1 − 1/s, 0.6) after update s = 1, 2, 3: 0, 0.5, 0.6.
    np.testing.assert_allclose(teachers[1], students[1], rtol=1e-6)
    np.testing.assert_allclose(teachers[2], 0.5 * students[1] + 0.5 * students[2], rtol=1e-6)
    np.testing.assert_allclose(teachers[3], 0.6 * teachers[2] + 0.4 * students[3], rtol=1e-6)
    assert int(variables["method"]["step"]) == 4


def test_the_teacher_has_statistics_of_its_own():
    objective = joint_objective(system("mean_teacher"), (8, 8))
    variables = quick(objective.init)(jax.random.key(0))
    rest = quick(objective.losses["loss"])(variables, batch(), jax.random.key(1))[1].model_state[
        "batch_stats"
    ]
    before = variables["batch_stats"]
    means = {who: np.asarray(rest[who]["BatchNorm_0"]["mean"]) for who in ("net0", TEACHER)}
    assert not np.allclose(means["net0"], before["net0"]["BatchNorm_0"]["mean"])
    # It saw the unlabeled half alone, and noise on it.
    assert not np.allclose(means["net0"], means[TEACHER])


def test_the_teacher_gets_no_gradient():
    """Neither as it is, nor through the average that it is of the student."""
    objective = joint_objective(system("mean_teacher"), (8, 8))
    variables = quick(objective.init)(jax.random.key(0))
    variables["method"]["step"] = jnp.int32(5)

    def loss(params, teacher):
        there = variables | {"params": params, "method": variables["method"] | {TEACHER: teacher}}
        summed, after = objective.losses["loss"](there, batch(), jax.random.key(1))
        assert summed.shape == ()
        return after.metrics["consistency"]

    gradient = quick(jax.grad(loss, (0, 1)))(variables["params"], variables["method"][TEACHER])
    largest = [max(np.abs(leaf).max() for leaf in jax.tree.leaves(part)) for part in gradient]
    assert largest[0] > 0 and largest[1] == 0


@pytest.mark.parametrize("name", ["cps", "fixmatch", "mean_teacher", "unimatch"])
def test_blocked_images_train_the_nets_and_never_the_teacher(name):
    one = system(name, "inconsistency", block_input=True, confidence_threshold=0.0)
    objective = joint_objective(one, (8, 8))
    variables = quick(objective.init)(jax.random.key(0))
    # The teacher lags: it is of other weights than its student.
    variables["method"]["step"] = jnp.int32(5)
    assert (TEACHER in variables["method"]) is (name != "cps")

    def loss(params, method):
        state = {"params": params, "method": variables["method"] | method}
        _, after = objective.losses["loss"](variables | state, batch(), jax.random.key(1))
        return after.metrics["consistency"], after.model_state

    teacher = {key: value for key, value in variables["method"].items() if key == TEACHER}
    gradient, state = quick(jax.grad(loss, (0, 1), has_aux=True))(variables["params"], teacher)
    for net in gradient[0].values():
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(net)) > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient[1]))
    assert jax.tree.structure(state) == jax.tree.structure(
        {k: variables[k] for k in ("batch_stats", "method")}
    )


@pytest.mark.parametrize(("dropout", "differ"), [(0.2, True), (0.0, False)])
def test_rdrop_is_nothing_without_dropout(dropout, differ):
    """Of the net that its small runs have."""
    one = system("rdrop")._replace(net=UNet(2, 0.5, dropout))
    objective = joint_objective(one, (16, 16))
    variables = quick(objective.init)(jax.random.key(0))
    large = jax.tree.map(lambda x: jnp.repeat(jnp.repeat(x, 2, 1), 2, 2), batch())
    found = quick(objective.losses["loss"])(variables, large, jax.random.key(1))[1].metrics["consistency"]
    assert bool(found > 1e-4) is differ


@pytest.mark.parametrize("name", sorted(JOINT_METHODS))
def test_every_host_steps_with_finite_gradients(name):
    for weighting in ("none",) if name == "supervised" else ("metassl",):
        one = system(name, weighting, teacher_noise=0.1)
        one = one._replace(joint=dataclasses.replace(one.joint, simeps=_stages(one.joint)))
        objective = joint_objective(one, (8, 8))
        variables = quick(objective.init)(jax.random.key(0))
        if one.method.auxiliary_decoders:
            # The toy makes its heads when it is first perturbed; the real backbones when they are made.
            heads = {
                f"auxiliary{k}": jax.tree.map(jnp.copy, variables["params"]["net0"]["Dense_0"])
                for k in range(one.method.auxiliary_decoders)
            }
            variables["params"]["net0"] |= heads
        rest = {k: v for k, v in variables.items() if k != "params"}
        loss = lambda p: objective.losses["loss"]({"params": p} | rest, batch(), jax.random.key(1))  # noqa: B023, E731
        (value, after), gradient = quick(jax.value_and_grad(loss, has_aux=True))(variables["params"])
        assert np.isfinite(value) and set(after.metrics) == set(objective.metric_names)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
        assert jax.tree.structure(after.model_state) == jax.tree.structure(rest)
        if name != "supervised":
            look = quick(make_loss_visualizer(one))(variables, batch(), jax.random.key(2))
            assert look.region.shape == look.weight.shape == (5, 8, 8)
            assert look.image.shape == (5, 8, 8, 1)
            if name == "simeps":
                assert (
                    all(value.shape == (5, 5) for value in look.similarity_maps.values())
                    and look.similarity_maps
                )


def _stages(joint):
    return dataclasses.replace(joint.simeps, feature_levels=("encoder", "output"))


# One for all tests, so that they share its programs.
APART = Members(2, per_chunk=1)


def train(folder, members=APART, stopping=lambda: False):
    options = Train(
        epochs=3, steps_per_epoch=6, batch_size=6, optimizer="sgd", schedule="poly", learning_rate=0.05,
        momentum=0.9, weight_decay=1e-4, adam_epsilon=1e-7, patience=1,
    )  # fmt: skip
    parts = {"labeled": {"image": LABELED[0], "label": LABELED[1]}, "unlabeled": {"image": OTHER[0]}}
    together = PairedLoader({key: EnsembleLoader(part, members, 64) for key, part in parts.items()})
    folder.mkdir(exist_ok=True)
    writer, checkpoints = Writer(folder), Checkpoints(folder / "checkpoints")
    ramp = dataclasses.replace(JOINT.rampup, steps=18, update_every=3)
    try:
        return fit(
            joint_objective(system("mean_teacher", "metassl", rampup=ramp), (8, 8)),
            options,
            members,
            [together],
            EnsembleLoader({"image": VAL[0], "label": VAL[1]}, members, 64),
            steps=(6,),
            seed=1,
            stage="toy",
            eval_batch_size=4,
            checkpoints=checkpoints,
            stage_logger=StageLogger(writer, "toy", "1/1", None, stopping),
        )
    finally:
        checkpoints.close()
        writer.close()


def test_layouts_of_systems_give_the_same_numbers(tmp_path):
    one, other = train(tmp_path / "apart"), train(tmp_path / "vmap", Members(2, 2, jax.devices()[:1]))
    for name in ("params", "method"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4),
            one.variables[name], other.variables[name],
        )  # fmt: skip
    kernels = one.variables["params"]["net0"]["Dense_0"]["kernel"]
    assert not np.allclose(kernels[0], kernels[1])


def test_a_stopped_run_of_systems_goes_on_bit_by_bit(tmp_path):
    whole = train(tmp_path / "whole")
    asked = iter(range(100))
    with pytest.raises(Stopped, match="step 8"):
        train(tmp_path / "cut", stopping=lambda: next(asked) >= 7)
    jax.tree.map(np.testing.assert_array_equal, whole.variables, train(tmp_path / "cut").variables)


@pytest.mark.parametrize("resident", [1, 0])
def test_batches_have_as_many_of_each_set_in_orders_of_their_own(resident):
    members = APART
    parts = {
        "labeled": EnsembleLoader({"x": np.arange(5)}, members, resident),
        "unlabeled": EnsembleLoader({"x": np.arange(9)}, members, resident),
    }
    together = PairedLoader(parts)
    assert together.count == 9
    orders = together.shuffled(0, "s", 6)
    found = [members.gather(chunks) for chunks in together.batches(orders, range(15))]
    for name, n in (("labeled", 5), ("unlabeled", 9)):
        drawn = np.stack([step[name]["x"] for step in found])
        assert drawn.shape == (15, 2, 3)
        # Endless passes: 45 draws of each member are 9 passes over 5 and 5 over 9.
        for member in range(2):
            assert (np.bincount(drawn[:, member].ravel(), minlength=n) == 45 // n).all()
    assert not np.array_equal(found[0]["unlabeled"]["x"][0], found[0]["unlabeled"]["x"][1])


def test_nets_of_systems_start_from_nets_in_turn():
    made = joint_objective(system("mean_teacher"), (8, 8))
    (drawn,) = split_nets(quick(made.init)(jax.random.key(0)), 1)
    nets = [jax.tree.map(lambda leaf: np.full(leaf.shape, i), drawn) for i in range(3)]  # noqa: B023
    for name, wanted in (
        ("mean_teacher", [[0], [1], [2]]),
        ("simeps", [[0, 1, 2]] * 3),
        ("cps", [[0, 1], [2, 0], [1, 2]]),
    ):
        start = joint_objective(system(name), (8, 8), nets).start
        found = [split_nets(member, len(wanted[0])) for member in start]
        assert [[int(jax.tree.leaves(net)[0].flat[0]) for net in member] for member in found] == wanted
        # The teacher is its student's copy.
        for member, (first, *_) in zip(start, found, strict=True):
            teacher = {"params": member["method"][TEACHER], "batch_stats": member["batch_stats"][TEACHER]}
            jax.tree.map(np.testing.assert_array_equal, teacher, first)


def test_nets_of_a_system_start_differently_and_come_apart():
    variables = quick(joint_objective(system("simeps"), (8, 8)).init)(jax.random.key(0))
    nets = split_nets(variables, 3)
    kernels = [np.asarray(net["params"]["Dense_0"]["kernel"]) for net in nets]
    assert not np.allclose(kernels[0], kernels[1]) and not np.allclose(kernels[1], kernels[2])
