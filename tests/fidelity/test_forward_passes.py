"""Forward passes with given weights, against slow twins of the published layer listings (methods.md 1.4, 2).

The twins are written from the listings: loops in NumPy that take the weights one layer after the other.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.models.evalnet import EvalNet
from imjax.models.unet import UNet
from imjax.models.unet_dropout import UNetDropout

QUICK = {"xla_backend_optimization_level": 0}


def drawn_variables(net, *inputs):
    """Weights and running statistics of every layer, all of them drawn: none is 0 or 1."""
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), *inputs))
    draw = np.random.default_rng(0)

    def values(path, leaf):
        name = path[-1].key
        if name in ("scale", "var"):
            return draw.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        # He-normal, so that features neither die nor explode; biases and means of a tenth.
        spread = (2 / np.prod(leaf.shape[:-1])) ** 0.5 if name == "kernel" else 0.1
        return draw.normal(0, spread, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(values, shapes)


def convolve(x, kernel, bias):
    """SAME convolution `[b, h, w, c]` by `[k, k, c, f]` or, 1×1, `[c, f]`."""
    kernel = kernel if kernel.ndim == 4 else kernel[None, None]
    size, (_, h, w, _) = len(kernel), x.shape
    padded = np.pad(x, ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    return bias + sum(
        padded[:, i : i + h, j : j + w] @ kernel[i, j] for i in range(size) for j in range(size)
    )


def normalize(x, layer, statistics, epsilon):
    return (x - statistics["mean"]) / np.sqrt(statistics["var"] + epsilon) * layer["scale"] + layer["bias"]


def pool(x):
    return np.max([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], 0)


class Layers:
    """Weights of a study net by their kind, in the order of its listing."""

    def __init__(self, variables):
        self.params, self.statistics, self.taken = variables["params"], variables["batch_stats"], {}

    def _next(self, kind):
        number = self.taken[kind] = self.taken.get(kind, -1) + 1
        return f"{kind}_{number}"

    def conv(self, x, size, base, alpha):
        """C(k, f): convolution, bias, ReLU."""
        (layer,) = self.params[self._next("Conv")].values()
        assert layer["kernel"].shape[:-2] == (() if size == 1 else (size, size))
        assert layer["kernel"].shape[-1] == int(base * alpha)
        return np.maximum(convolve(x, layer["kernel"], layer["bias"]), 0)

    def norm(self, x):
        name = self._next("Norm")
        return normalize(x, self.params[name]["BatchNorm_0"], self.statistics[name]["BatchNorm_0"], 1e-3)


def study_unet(variables, images, alpha):
    layers = Layers(variables)
    x = layers.norm(layers.conv(images / 255, 1, 16, alpha))
    skips = []
    for base in (16, 32, 64, 128):
        x = layers.norm(layers.conv(layers.conv(x, 3, base, alpha), 1, base, alpha))
        skips.append(x)
        x = pool(x)
    x = layers.norm(layers.conv(layers.conv(x, 3, 256, alpha), 1, 128, alpha))
    for base, after in ((128, 64), (64, 32), (32, 16), (16, 16)):
        x = x.repeat(2, 1).repeat(2, 2) + skips.pop()
        x = layers.norm(layers.conv(x, 1, base, alpha))
        x = layers.norm(layers.conv(layers.conv(x, 3, base, alpha), 1, after, alpha))
    head = variables["params"]["Dense_0"]
    return x @ head["kernel"] + head["bias"]


def study_evalnet(variables, images, planes, alpha):
    layers = Layers(variables)

    def branch(x):
        x = layers.norm(layers.conv(x, 1, 16, alpha))
        return pool(layers.norm(layers.conv(layers.conv(x, 3, 16, alpha), 1, 16, alpha)))

    x = np.concatenate([branch(images / 255), branch(planes)], -1)
    for base in (16, 32, 64, 128, 256):
        x = pool(layers.norm(layers.conv(layers.conv(x, 3, base, alpha), 1, base, alpha)))
    x = x.mean((1, 2))
    heads = [variables["params"][name] for name in ("iou", "detection") if name in variables["params"]]
    return [x @ head["kernel"] + head["bias"] for head in heads]


def double(x):
    """Bilinear, corner pixels staying in the corners: new pixel j lies at j·(n − 1)/(2n − 1)."""
    for axis in (1, 2):
        n = x.shape[axis]
        at, old = np.arange(2 * n) * (n - 1) / (2 * n - 1), np.arange(n)
        x = np.apply_along_axis(lambda row, at=at, old=old: np.interp(at, old, row), axis, x)
    return x


def benchmark_unet(variables, images):
    params, statistics = variables["params"], variables["batch_stats"]

    def stage(x, layers, running):
        for i in (0, 1):
            layer = layers[f"Conv_{i}"]
            x = convolve(x, layer["kernel"], layer["bias"])
            name = f"Norm_{i}"
            x = normalize(x, layers[name]["BatchNorm_0"], running[name]["BatchNorm_0"], 1e-5)
            x = np.where(x > 0, x, 0.01 * x)
        return x

    x, features = images / 255, []
    while f"Stage_{len(features)}" in params:
        name = f"Stage_{len(features)}"
        x = stage(pool(x) if features else x, params[name], statistics[name])
        features.append(x)
    x = features.pop()
    decoder, running = params["Decoder_0"], statistics["Decoder_0"]
    for i, skip in enumerate(features[::-1]):
        up = decoder[f"Up_{i}"]["Dense_0"]
        x = np.concatenate([skip, double(convolve(x, up["kernel"], up["bias"]))], -1)
        x = stage(x, decoder[f"Stage_{i}"], running[f"Stage_{i}"])
    return convolve(x, decoder["Conv_0"]["kernel"], decoder["Conv_0"]["bias"])


def images_of(channels, height, width):
    shape = (2, height, width, channels)
    return np.random.default_rng(channels).integers(0, 256, shape).astype(np.uint8)


def close(found, expected):
    """To 1e-5 of the largest value; and values that differ, so that the comparison says something."""
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# Input channels, outputs, α: ISIC 2018's smallest net, and HeLa's channels with a width that is cut.
@pytest.mark.parametrize(("channels", "outputs", "alpha"), [(3, 1, 0.5), (1, 3, 0.3)])
def test_study_unet(channels, outputs, alpha):
    net, images = UNet(outputs, alpha), images_of(channels, 16, 32)
    variables = drawn_variables(net, jnp.asarray(images))
    found = jax.jit(net.apply, compiler_options=QUICK)(variables, images)
    close(found, study_unet(variables, images.astype(np.float64), alpha))


@pytest.mark.parametrize(("kind", "outputs"), [("binary", 1), ("multilabel", 3), ("multiclass", 5)])
def test_evalnet(kind, outputs):
    net, images = EvalNet(kind, outputs, 0.25), images_of(3, 64, 64)
    draw = np.random.default_rng(1)
    if kind == "multilabel":
        masks = planes = draw.integers(0, 2, (2, 64, 64, 3)).astype(np.uint8)
    elif kind == "binary":
        masks = draw.integers(0, 2, (2, 64, 64)).astype(np.uint8)
        planes = masks[..., None]
    else:
        masks = draw.integers(0, 5, (2, 64, 64)).astype(np.uint8)
        planes = np.eye(5)[masks]
    variables = drawn_variables(net, jnp.asarray(images), jnp.asarray(masks))
    found = [x for x in jax.jit(net.apply, compiler_options=QUICK)(variables, images, masks) if x is not None]
    expected = study_evalnet(variables, images.astype(np.float64), planes.astype(np.float64), 0.25)
    assert len(found) == len(expected) == (1 if kind == "binary" else 2)
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def test_benchmark_unet():
    net = UNetDropout(4, features=(4, 6, 8, 10), dropouts=(0.05, 0.1, 0.2, 0.3))
    images = images_of(1, 16, 24)
    variables = drawn_variables(net, jnp.asarray(images))
    found = jax.jit(net.apply, compiler_options=QUICK)(variables, images)
    close(found, benchmark_unet(variables, images.astype(np.float64)))
