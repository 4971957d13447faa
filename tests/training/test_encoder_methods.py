"""Joint methods on a net with an encoder: what each asks of a net is there, and the state keeps its shape."""

import dataclasses

import jax
import numpy as np
import pytest

from imjax.config.convert import freeze
from imjax.config.defaults import common
from imjax.config.joint_schema import Joint
from imjax.config.schema import Model
from imjax.data.spec import DatasetSpec
from imjax.methods.registry import JOINT_METHODS
from imjax.models.factory import create_backbone
from imjax.training.semi_supervised_objective import System, joint_objective

SPECS = {
    "binary": DatasetSpec("toy", "Toy", "binary", ("a",), ((0, 0, 0),), channels=1),
    "multiclass": DatasetSpec("toy", "Toy", "multiclass", ("a", "b"), ((0, 0, 0),) * 2),
    "multilabel": DatasetSpec("toy", "Toy", "multilabel", ("a", "b"), ((0, 0, 0),) * 2, channels=5),
}
SIZE = (16, 48)
"""Not multiples of 32."""
# Several decoders, heads on the scales of one, features with another batch axis, and taps.
CASES = {"cct": "binary", "urpc": "multiclass", "unimatch": "multilabel", "simeps": "binary"}


@pytest.mark.parametrize(("method", "kind"), CASES.items())
def test_a_step(method, kind):
    spec, chosen = SPECS[kind], JOINT_METHODS[method]
    joint = freeze(common().to_dict()["joint"], Joint)
    levels = ("encoder", "decoder", "output")
    joint = dataclasses.replace(
        joint, simeps=dataclasses.replace(joint.simeps, num_nets=2, feature_levels=levels)
    )
    auxiliary = "scales" if chosen.pyramid else "decoders"
    model = Model(backbone="efficientnet_lite0", width=0.25, auxiliary=auxiliary)
    net = create_backbone(model, spec, chosen.auxiliary_decoders)
    objective = joint_objective(System(net, chosen, joint, spec), SIZE)
    label = (2, *SIZE, spec.outputs) if kind == "multilabel" else (2, *SIZE)
    image = jax.ShapeDtypeStruct((2, *SIZE, spec.channels), np.uint8)
    batch = {
        "labeled": {"image": image, "label": jax.ShapeDtypeStruct(label, np.uint8)},
        "unlabeled": {"image": image},
    }
    variables = jax.eval_shape(objective.init, jax.random.key(0))
    loss, after = jax.eval_shape(objective.losses["loss"], variables, batch, jax.random.key(0))
    assert loss.shape == ()
    assert jax.tree.structure(after.model_state | {"params": variables["params"]}) == jax.tree.structure(
        variables
    )
