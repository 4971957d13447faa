"""The nets of one system during one step: calling them, and what their batch statistics become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from imjax.data.spec import LabelKind

TEACHER = "teacher"


def name(index: int) -> str:
    """Key of a net among a system's variables."""
    return f"net{index}"


def as_classes(kind: LabelKind, logits: jax.Array) -> jax.Array:
    """Logits with one entry per class of a pixel.

    Multiclass: as they are. Binary `[..., 1]` → `[..., 2]`, multilabel `[..., k]` → `[..., k, 2]`: 0 for
    absence, so that the softmax is the sigmoid.
    """
    if kind == "multiclass":
        return logits
    pairs = jnp.stack([jnp.zeros_like(logits), logits], -1)
    return pairs[..., 0, :] if kind == "binary" else pairs


@runtime_checkable
class Backbone(Protocol):
    """What is asked of a linen module; a plan, which trains nothing, then need not load flax."""

    def apply(self, variables: Any, *inputs: Any, **options: Any) -> Any:
        """See `flax.linen.Module.apply`."""
        ...


class Seen(NamedTuple):
    """One net's look at images `[b, ...]`."""

    logits: jax.Array
    """`[b, *px, c]`, see `as_classes`."""
    auxiliary: list[jax.Array]
    """Logits of auxiliary decoders."""
    taps: dict[str, jax.Array]
    """Features `[b, ...]` by place."""


class StudentForward:
    """Nets in training mode: dropout is drawn anew and batch statistics go on with every call.

    Args:
        net: the module of all of them.
        kind: of the labels.
        variables: `params` and `batch_stats` by `name(index)`, and the teacher's parameters under
            `method` / `teacher` where there is one.
        key: of this step.
    """

    def __init__(self, net: Backbone, kind: LabelKind, variables: dict[str, Any], key: jax.Array):
        self._net, self._kind, self._key, self._calls = net, kind, key, 0
        self._params = dict(variables["params"])
        self._params[TEACHER] = variables["method"].get(TEACHER)
        self.stats = dict(variables["batch_stats"])
        """Batch statistics by net, as the next step finds them."""

    def key(self) -> jax.Array:
        """A key that no other call of this step gets."""
        self._calls += 1
        return jax.random.fold_in(self._key, self._calls)

    def __call__(
        self,
        index: int,
        images: jax.Array,
        hook: Callable | None = None,
        perturb: tuple[Callable, ...] = (),
        taps: bool = False,
    ) -> Seen:
        """Net `index` looks at images, uint8 0..255 or float 0..1; hooks as the backbones take them."""
        return self._look(name(index), images, hook, perturb, taps)

    def teacher(self, images: jax.Array) -> jax.Array:
        """Logits of the teacher, without gradient. It normalizes by the batch, drops out, and has running
        statistics of its own, as in the benchmark that methods.md 2 builds on."""
        return jax.lax.stop_gradient(self._look(TEACHER, images, None, (), False).logits)

    def _look(self, who: str, images: jax.Array, hook, perturb, taps: bool) -> Seen:
        kept = ["batch_stats", "taps"] if taps else ["batch_stats"]
        outputs, changed = self._net.apply(
            {"params": self._params[who], "batch_stats": self.stats[who]},
            images, train=True, hook=hook, perturb=perturb, mutable=kept, rngs={"dropout": self.key()},
        )  # fmt: skip
        self.stats[who] = changed["batch_stats"]
        logits, auxiliary = outputs if perturb else (outputs, [])
        classes = lambda x: as_classes(self._kind, x)  # noqa: E731
        return Seen(classes(logits), [classes(x) for x in auxiliary], changed.get("taps", {}))
