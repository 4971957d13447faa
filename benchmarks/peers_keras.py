"""The study's network in Keras 3 on TensorFlow, as one would write it there, and its training."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from benchmarks import data

ENCODER = (16, 32, 64, 128)
DECODER = ((128, 64), (64, 32), (32, 16), (16, 16))


def unet(size: int, outputs: int, alpha: float = 1.0, momentum: float = data.MOMENTUM) -> keras.Model:
    """U-Net(α) with additive skips: uint8 `[b, size, size, 3]` → softmax `[b, size, size, outputs]`."""

    def conv(x, kernel, base):
        filters = int(base * alpha)
        return layers.Conv2D(
            filters, kernel, padding="same", activation="relu", kernel_initializer="he_normal"
        )(x)

    def norm(x):
        return layers.BatchNormalization(momentum=momentum, epsilon=data.EPSILON)(x)

    image = keras.Input((size, size, 3), dtype="uint8")
    x = norm(conv(layers.Rescaling(1 / 255)(image), 1, 16))
    skips = []
    for base in ENCODER:
        x = norm(conv(conv(x, 3, base), 1, base))
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = norm(conv(conv(x, 3, 256), 1, 128))
    for (base, last), skip in zip(DECODER, reversed(skips), strict=True):
        x = norm(conv(layers.Add()([layers.UpSampling2D()(x), skip]), 1, base))
        x = norm(conv(conv(x, 3, base), 1, last))
    return keras.Model(image, layers.Conv2D(outputs, 1, activation="softmax")(x))


def parameters(net: keras.Model) -> int:
    """Numbers that training changes."""
    return sum(int(np.prod(v.shape)) for v in net.trainable_variables)


def compiled(net: keras.Model, jit: bool | str, metrics: tuple = ()) -> keras.Model:
    """The net, ready to train as the study trains."""
    # Keras multiplies the decay by the rate.
    optimizer = keras.optimizers.AdamW(
        data.RATE, weight_decay=data.DECAY / data.RATE, epsilon=data.ADAM_EPSILON
    )
    loss = keras.losses.SparseCategoricalCrossentropy()
    net.compile(optimizer, loss, metrics=list(metrics), jit_compile=jit)
    return net


class Training:
    """Steps of one net by `train_on_batch`.

    Args:
        size: side of the images in pixels.
        batch: images per step.
        alpha: width.
        jit: `jit_compile` of Keras: "auto", True or False.
        images: in the training set.
    """

    def __init__(self, size: int, batch: int, alpha: float = 1.0, jit: bool | str = "auto", images: int = 64):
        keras.utils.set_random_seed(0)
        self._net = compiled(unet(size, data.OUTPUTS, alpha), jit)
        self._images, self._labels = data.noise(images, size)
        self._draw, self._batch = np.random.default_rng(0), batch
        self.facts = {"parameters": parameters(self._net), "jit_compile": bool(self._net.jit_compile)}

    def run(self, repeats: int) -> int:
        """So many steps; images."""
        for _ in range(repeats):
            chosen = self._draw.integers(len(self._images), size=self._batch)
            self._net.train_on_batch(self._images[chosen], self._labels[chosen])
        return repeats * self._batch


class StudentForward:
    """Several nets that are asked about one image at a time.

    Args:
        members: how many.
        size: side of the images in pixels.
        alpha: width.
        how: see `said`.
    """

    def __init__(self, members: int, size: int, alpha: float, how: str):
        keras.utils.set_random_seed(0)
        self._nets = [unet(size, data.OUTPUTS, alpha) for _ in range(members)]
        self._how = how

    def labels(self, image: np.ndarray) -> list[np.ndarray]:
        """Classes that each net gives to an image uint8 `[h, w, 3]`, uint8 `[h, w]`."""
        return [label(net, image, self._how) for net in self._nets]


def label(net: keras.Model, image: np.ndarray, how: str) -> np.ndarray:
    """Classes of one image uint8 `[h, w, 3]`, uint8 `[h, w]`.

    Args:
        net: asked.
        image: about what.
        how: `predict`, as the published code; `call` of the model; `predict_on_batch`, which is compiled.
    """
    asked = {
        "predict": lambda x: net.predict(x, verbose=0),
        "call": lambda x: np.asarray(net(x, training=False)),
        "predict_on_batch": net.predict_on_batch,
    }[how]
    return np.argmax(asked(image[None])[0], -1).astype(np.uint8)
