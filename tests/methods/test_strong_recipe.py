"""The strong recipe: what it draws, what it optimizes, what it measures, and that a run has it."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from imjax import losses
from imjax.config import convert, protocols
from imjax.config.joint_schema import View
from imjax.config.schema import StrongRecipe
from imjax.data.readers import isic2018, suim
from imjax.methods.joint.forward import as_classes
from imjax.methods.strong_recipe import make_training_views
from imjax.pipeline.plan import make_plan
from imjax.training.objective import segmentation_objective

OFF = StrongRecipe(zoom=1.0, turn=0.0, flip_prob=0.0, rotate_prob=0.0, view=View(), ema_decay=0.0)


class PixelNet(nn.Module):
    """A net of one pixel, which compiles at once."""

    outputs: int

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.BatchNorm(use_running_average=not train)(images / 255)
        return nn.Dense(self.outputs)(x)


def pairs(count=6, side=16):
    draw = np.random.default_rng(0)
    images = jnp.asarray(draw.integers(0, 256, (count, side, side, 3), np.uint8))
    return images, (images[..., 0] > 128).astype(jnp.uint8)


def test_each_change_alone_acts_on_what_it_should():
    images, labels = pairs()

    def views(**changes):
        recipe = dataclasses.replace(OFF, **changes)
        found = jax.jit(lambda key: make_training_views(key, images, labels, recipe, True))(jax.random.key(1))
        return map(np.asarray, found)

    same, kept = views()
    assert (same == images).all() and (kept == labels).all()
    for geometry in ({"zoom": 1.5}, {"turn": 40.0}, {"flip_prob": 1.0}, {"rotate_prob": 1.0}):
        image, label = views(**geometry)
        assert (image != images).any() and (label != labels).any(), geometry
    image, label = views(view=View(contrast=0.4, brightness=20.0, contrast_prob=1.0))
    assert (image != images).any(axis=(1, 2, 3)).all() and (label == labels).all()


def test_mirrored_views_are_mirrored_with_their_labels():
    images, labels = pairs()
    recipe = dataclasses.replace(OFF, flip_prob=1.0)
    found = jax.jit(lambda key: make_training_views(key, images, labels, recipe, False))(jax.random.key(0))
    image, label = map(np.asarray, found)
    assert (image == images[:, :, ::-1]).all() and (label == labels[:, :, ::-1]).all()


def test_the_loss_is_half_of_cross_entropy_and_dice_for_every_kind_of_label():
    for spec in (suim.SPEC, isic2018.SPEC):
        images, labels = pairs(2)
        net = PixelNet(spec.outputs)
        objective = segmentation_objective(net, spec, (16, 16), OFF)
        variables = objective.init(jax.random.key(0))
        batch = {"image": images, "label": labels}
        found, _ = jax.jit(objective.losses["loss"])(variables, batch, jax.random.key(0))
        logits, _ = net.apply(variables, images, train=True, mutable=["batch_stats"])
        classes = as_classes(spec.kind, logits)
        wanted = (losses.cross_entropy(classes, labels) + losses.soft_dice(classes, labels)) / 2
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_views_differ_from_step_to_step():
    images, labels = pairs(2)
    objective = segmentation_objective(PixelNet(1), isic2018.SPEC, (16, 16), StrongRecipe())
    variables = objective.init(jax.random.key(0))
    loss = jax.jit(objective.losses["loss"])
    values = [loss(variables, {"image": images, "label": labels}, jax.random.key(i))[0] for i in range(3)]
    assert len(set(map(float, values))) == 3 and objective.ema_decay == 0.99
    assert objective != segmentation_objective(PixelNet(1), isic2018.SPEC, (16, 16))


def test_one_key_gives_every_segmentation_net_of_a_run_the_recipe():
    for leaf in ("isic2018_aim_pp", "acdc_unimatch", "isic2018_consistency"):
        chosen = protocols.get_named_config(leaf, None)
        published = [s for s in make_plan(convert.freeze(chosen.to_dict())) if hasattr(s, "recipe")]
        schedule = "poly" if leaf == "acdc_unimatch" else "constant"
        assert published and all((s.recipe, s.train.schedule) == (None, schedule) for s in published)
        chosen.recipe, chosen.train.schedule = "strong", "auto"
        strong = make_plan(convert.freeze(chosen.to_dict()))
        trained = [s for s in strong if hasattr(s, "recipe")]
        assert all(s.recipe == StrongRecipe() and s.train.schedule == "one_cycle" for s in trained)
        # EvalNets have a loss of their own.
        assert all(s.train.schedule == "constant" for s in strong if s.name == "evalnet")
    chosen.train.schedule = "constant"
    assert make_plan(convert.freeze(chosen.to_dict()))[-1].train.schedule == "constant"


def test_void_and_the_gradient_are_finite():
    images, labels = pairs(2)
    labels = jnp.full_like(labels, 255)
    objective = segmentation_objective(PixelNet(1), isic2018.SPEC, (16, 16), StrongRecipe())
    variables = objective.init(jax.random.key(0))

    def loss(params):
        batch = {"image": images, "label": labels}
        return objective.losses["loss"](variables | {"params": params}, batch, jax.random.key(0))[0]

    grads = jax.jit(jax.grad(loss))(variables["params"])
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(grads))
