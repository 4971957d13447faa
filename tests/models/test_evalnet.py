"""EvalNet: heads per label kind, and that the mask matters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.models.evalnet import EvalNet

IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("kind", "outputs", "planes", "heads"),
    [("binary", 1, (), (1, None)), ("multiclass", 4, (), (4, 4)), ("multilabel", 3, (3,), (3, 3))],
)
def test_heads(kind, outputs, planes, heads):
    masks = jnp.zeros((2, 64, 64, *planes), jnp.uint8)
    net = EvalNet(kind, outputs, 0.25)
    variables = jax.eval_shape(lambda: net.init(jax.random.key(0), IMAGES, masks))
    iou, detection = jax.eval_shape(net.apply, variables, IMAGES, masks)
    assert iou.shape == (2, heads[0])
    assert (detection is None) if heads[1] is None else detection.shape == (2, heads[1])


def test_parameter_count_multiclass():
    # k = 9, α = 1. Branch image: 3→16 1×1 64 + BN 32, 16→16 3×3 2320, 1×1 272, BN 32 = 2720;
    # mask: 9→16 160 + 32 + 2320 + 272 + 32 = 2816. Joined, 32 channels:
    # 32→16 3×3 4624, 16→16 272, BN 32 = 4928; 16→32 4640 + 1056 + 64 = 5760; 32→64 22784; 64→128 90624;
    # 128→256 3×3 295168 + 1×1 65792 + BN 512 = 361472. Heads 2·(256·9 + 9) = 4626.
    by_hand = 2720 + 2816 + 4928 + 5760 + 22784 + 90624 + 361472 + 4626
    net = EvalNet("multiclass", 9)
    masks = jnp.zeros((2, 64, 64), jnp.uint8)
    variables = jax.eval_shape(lambda: net.init(jax.random.key(0), IMAGES, masks))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == by_hand


def test_the_mask_changes_the_score(start):
    net = EvalNet("multiclass", 4, 0.25)
    masks = jnp.zeros((2, 64, 64), jnp.uint8)
    variables = start(net, IMAGES, masks)
    other = masks + jnp.uint8(3)
    assert not np.allclose(net.apply(variables, IMAGES, masks)[0], net.apply(variables, IMAGES, other)[0])
