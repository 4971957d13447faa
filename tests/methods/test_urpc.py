"""URPC by hand: the mean of the scales, the rectified loss, and a net that predicts at four scales."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.methods.joint.urpc import rectified_mse, scale_pairs, urpc
from imjax.models.unet import UNet
from imjax.models.unet_dropout import UNetDropout
from tests.methods.fixed_nets import NO_AUGMENTATION, FixedNets, loss_and_gradient, make_views, two_classes

LOGITS = [two_classes(0.8), two_classes(0.4)]
ONES = jnp.ones((1, 1, 1))


def test_loss_of_each_scale():
    pairs = scale_pairs(LOGITS)
    # Mean: (.6, .4). With one pixel the certainty cancels: squared difference .2², and the divergence.
    divergence = [0.6 * math.log(0.6 / p) + 0.4 * math.log(0.4 / (1 - p)) for p in (0.8, 0.4)]
    assert divergence == pytest.approx([0.10465, 0.08109], abs=1e-5)
    for pair, d in zip(pairs, divergence, strict=True):
        assert float(pair.reference[0, 0, 0, 0]) == pytest.approx(0.6)
        assert float(pair.loss_fn(pair.reference, pair.supervised, ONES)) == pytest.approx(0.04 + d, abs=1e-5)
    assert [pair.weight for pair in pairs] == [0.5, 0.5]


def test_a_pixel_that_diverges_counts_less():
    reference = jax.nn.softmax(two_classes(0.6, 0.5), -1)
    found = float(rectified_mse(reference, two_classes(0.8, 0.5), jnp.ones((2, 1, 1))))
    # The second pixel agrees: d 0, D 0, e 1. e of the first: exp(−.10465) = .90064.
    e = math.exp(-0.104650)
    assert found == pytest.approx(0.04 * e / (e + 1) + 0.104650 / 2, abs=1e-5)


def test_the_gradient_flows_into_the_mean():
    def loss(logits):
        pair = scale_pairs(logits)[0]
        return pair.loss_fn(pair.reference, pair.supervised, ONES)

    assert all(np.any(gradient) for gradient in jax.grad(loss)(LOGITS))


def test_labels_train_every_scale():
    nets = FixedNets([two_classes(0.6, 0.7)] * 2)
    outputs = urpc(nets, make_views([0], [2]), NO_AUGMENTATION, False)
    assert len(outputs.labeled_logits) == len(outputs.unlabeled_pairs) == 4 and not outputs.labeled_pairs
    assert len(urpc(nets, make_views([0], [2]), NO_AUGMENTATION, True).labeled_pairs) == 4


def test_a_step_has_a_finite_gradient():
    loss, (gradient,) = loss_and_gradient("urpc", [two_classes(0.5, 0.5)], (), make_views([0], [2]))
    # Scales whose logits are 0 all say one half: nothing diverges. Dice with squares: 1 − ½·1/1.25.
    assert float(loss) == pytest.approx((math.log(2) + 1 - 0.5 * 1 / 1.25) / 2, abs=1e-4)
    assert np.isfinite(gradient).all() and np.any(gradient[0])


@pytest.mark.parametrize(
    ("net", "size"),
    [
        (UNet(2, 0.25, auxiliaries=3, pyramid=True), (32, 16)),
        (UNetDropout(2, (2,) * 5, (0.0,) * 5, auxiliaries=3, pyramid=True), (32, 16)),
        (UNetDropout(2, (2,) * 5, (0.0,) * 5, dims=3, auxiliaries=3, pyramid=True), (16, 32, 16)),
    ],
)
def test_nets_predict_at_four_scales(net, size):
    images, key = jax.ShapeDtypeStruct((1, *size, 1), "uint8"), jax.random.key(0)
    variables = jax.eval_shape(net.init, key, images)
    assert {f"scale_head{k}" for k in range(3)} <= set(variables["params"])
    sides = []

    def look(features):
        (x,) = features
        sides.append(x.shape[1:-1])
        return [x]

    def forward(variables, images):
        return net.apply(variables, images, train=True, perturb=(look,) * 3, mutable=["batch_stats"])[0]

    logits, coarser = jax.eval_shape(forward, variables, images)
    assert sides == [tuple(side // factor for side in size) for factor in (2, 4, 8)]
    assert {x.shape for x in (logits, *coarser)} == {(1, *size, 2)} and len(coarser) == 3
    assert jax.eval_shape(net.apply, variables, images).shape == (1, *size, 2)


def test_a_decoder_needs_enough_stages():
    net = UNetDropout(2, (2, 2, 2), (0.0,) * 3, auxiliaries=3, pyramid=True)
    with pytest.raises(ValueError, match="3 heads below the last stage of a decoder with 2 stages"):
        jax.eval_shape(net.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 32, 16, 1), "uint8"))
