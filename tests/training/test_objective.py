"""What is watched of a net on val."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from imjax import losses
from imjax.config.schema import AugmentStrength
from imjax.data.readers import isic2018, suim
from imjax.evaluation import metrics
from imjax.models.unet import UNet
from imjax.training.objective import consistency_objective, segmentation_objective, validation_metrics


def test_isic_is_watched_by_the_masks_that_it_predicts():
    # Methods.md 1.5: ISIC `val IoU`. Two images of 1×2: I = 1, U = 2: 2/3. The third is padding.
    logits = jnp.array([[2.0, -1.0], [-3.0, 0.1], [9.0, 9.0]])[:, None, :, None]
    label = jnp.array([[1, 0], [0, 0], [1, 1]], jnp.uint8)[:, None]
    batch = {"label": label, "counted": jnp.array([True, True, False])}
    found = validation_metrics(isic2018.SPEC, logits, batch, losses.mse_sigmoid)
    np.testing.assert_allclose(found["hard_iou"], 2 / 3, rtol=1e-6)


def test_objectives_are_equal_where_their_programs_are():
    """An objective that is unequal by mistake costs a compilation, an equal one gives wrong nets."""
    spec, size, weak = suim.SPEC, (16, 16), AugmentStrength(1, 15, 0.3, 15.0)

    def make(width=0.25, spec=spec):
        return segmentation_objective(UNet(spec.outputs, width), spec, size)

    def make_consistent(strength, start):
        return consistency_objective(UNet(spec.outputs, 0.25), spec, size, strength, start)

    assert make() == make() and hash(make()) == hash(make())
    assert make() != make(0.5) and make() != make(spec=isic2018.SPEC)
    consistent = make_consistent(weak, ({"params": np.zeros(1)},))
    assert consistent == make_consistent(weak, ({"params": np.ones(1)},)) and consistent != make()
    assert consistent != make_consistent(dataclasses.replace(weak, blur=2), ({},))


@pytest.mark.parametrize("selection_metric", ["hard_iou", "soft_iou", "soft_miou"])
def test_padding_is_not_counted(selection_metric):
    base = suim.SPEC if selection_metric == "soft_miou" else isic2018.SPEC
    spec = dataclasses.replace(base, selection_metric=selection_metric)
    draw = np.random.default_rng(0)
    logits = jnp.asarray(draw.normal(size=(4, 3, 5, spec.outputs)), jnp.float32)
    label = jnp.asarray(draw.integers(0, max(spec.outputs, 2), (4, 3, 5)), jnp.uint8)

    def value(count, counted):
        batch = {"label": label[:count], "counted": jnp.asarray(counted)}
        return validation_metrics(spec, logits[:count], batch, lambda *_: jnp.zeros(()))[selection_metric]

    padded, alone = value(4, [True, True, True, False]), value(3, [True] * 3)
    np.testing.assert_allclose(padded, alone, rtol=1e-6)
    assert value(4, [True] * 4) != alone
    assert selection_metric in vars(metrics)
