"""Steps on random patches of volumes, by their shapes alone: hosts with views or features of their own."""

import dataclasses

import jax
import pytest

from imjax.config.convert import freeze
from imjax.config.defaults import common
from imjax.config.joint_schema import Joint
from imjax.data.spec import DatasetSpec
from imjax.methods.registry import JOINT_METHODS
from imjax.models.unet_dropout import UNetDropout
from imjax.training.semi_supervised_objective import System, joint_objective, make_loss_visualizer

SPEC = DatasetSpec("toy", "Toy", "multiclass", ("a", "b"), ((0, 0, 0),) * 2, channels=1, dims=3)
JOINT = dataclasses.replace(
    freeze(common().to_dict()["joint"], Joint), patch=(4, 8, 6), pixel_weighting="metassl"
)


@pytest.mark.parametrize("name", ["cct", "fixmatch", "ict", "mean_teacher", "simeps", "ua_mt", "uaps"])
def test_hosts_step_on_patches(name):
    host = JOINT_METHODS[name]
    net = UNetDropout(2, (2, 3), (0.1, 0.1), dims=3, auxiliaries=host.auxiliary_decoders)
    system = System(net, host, JOINT, SPEC)
    objective = joint_objective(system, JOINT.patch)
    volumes = {n: jax.ShapeDtypeStruct((n, 6, 12, 10, 1), "uint8") for n in (2, 3)}
    label = jax.ShapeDtypeStruct((2, 6, 12, 10), "uint8")
    batch = {"labeled": {"image": volumes[2], "label": label}, "unlabeled": {"image": volumes[3]}}
    variables = jax.eval_shape(objective.init, jax.random.key(0))
    loss, after = jax.eval_shape(objective.losses["loss"], variables, batch, jax.random.key(0))
    assert loss.shape == () and set(after.metrics) == set(objective.metric_names)
    look = jax.eval_shape(make_loss_visualizer(system), variables, batch, jax.random.key(0))
    assert look.image.shape == (3, 4, 8, 6, 1) and look.region.shape == look.weight.shape == (3, 4, 8, 6)
