"""Forward passes of a system's nets during one training step, with their batch statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imjax.data.spec import LabelKind
from imjax.models.network import Network

TEACHER = "teacher"
"""Key of the teacher among a system's variables."""


def net_name(index: int) -> str:
    """Key of a net among a system's variables."""
    return f"net{index}"


def as_classes(kind: LabelKind, logits: jax.Array) -> jax.Array:
    """Logits with one entry per class of a pixel on the last axis.

    Multiclass: unchanged. Binary `[..., 1]` → `[..., 2]`, multilabel `[..., k]` → `[..., k, 2]`: the logit of
    absence is 0, so that the softmax over the pair is the sigmoid of the logit.
    """
    if kind == "multiclass":
        return logits
    pairs = jnp.stack([jnp.zeros_like(logits), logits], -1)
    return pairs[..., 0, :] if kind == "binary" else pairs


class NetOutput(NamedTuple):
    """Predictions of one net for images `[b, ...]`."""

    logits: jax.Array
    """`[b, *px, c]`, see `as_classes`."""
    auxiliary: list[jax.Array]
    """Logits of the auxiliary decoders, each `[b, *px, c]`."""
    taps: dict[str, jax.Array]
    """Features `[b, ...]` by stage; empty unless asked for."""


class StudentForward:
    """Nets in training mode: each call draws new dropout and updates the net's batch statistics.

    Args:
        net: the module that all nets share.
        kind: of the labels.
        variables: `params` and `batch_stats` by `net_name(index)`, and under `method` the number of the step
            and the teacher's parameters, if there is one.
        key: of this step.
    """

    def __init__(self, net: Network, kind: LabelKind, variables: dict[str, Any], key: jax.Array):
        self._net, self._kind, self._key, self._keys_drawn = net, kind, key, 0
        self._params = dict(variables["params"])
        self._params[TEACHER] = variables["method"].get(TEACHER)
        self.step = variables["method"]["step"]
        """Training steps done, from 0, int32 `[]`."""
        self.batch_stats = dict(variables["batch_stats"])
        """Batch statistics by net, after the calls so far."""

    def next_key(self) -> jax.Array:
        """A key that no other call of this step gets; the order of the calls decides which."""
        self._keys_drawn += 1
        return jax.random.fold_in(self._key, self._keys_drawn)

    def __call__(
        self,
        index: int,
        images: jax.Array,
        hook: Callable | None = None,
        perturb: tuple[Callable, ...] = (),
        taps: bool = False,
    ) -> NetOutput:
        """Predict images with net `index`.

        Args:
            index: of the net.
            images: uint8 0..255 or float 0..1, `[b, h, w, c]`, of volumes with `d` before `h`.
            hook, perturb: functions of the encoder's features, as the backbones take them.
            taps: whether to return features.
        """
        return self._apply(net_name(index), images, hook, perturb, taps)

    def teacher(self, images: jax.Array) -> jax.Array:
        """Logits of the teacher, without gradient.

        It is in training mode, with running statistics of its own, as in the SSL4MIS benchmark.
        """
        return jax.lax.stop_gradient(self._apply(TEACHER, images, None, (), False).logits)

    def _apply(
        self,
        name: str,
        images: jax.Array,
        hook: Callable | None,
        perturb: tuple[Callable, ...],
        taps: bool,
    ) -> NetOutput:
        outputs, changed = self._net.apply(
            {"params": self._params[name], "batch_stats": self.batch_stats[name]},
            images, train=True, hook=hook, perturb=perturb,
            mutable=["batch_stats", "taps"] if taps else ["batch_stats"],
            rngs={"dropout": self.next_key()},
        )  # fmt: skip
        self.batch_stats[name] = changed["batch_stats"]
        logits, auxiliary = outputs if perturb else (outputs, [])
        return NetOutput(
            as_classes(self._kind, logits),
            [as_classes(self._kind, x) for x in auxiliary],
            changed.get("taps", {}),
        )
