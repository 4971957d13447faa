"""The optimizers and learning-rate schedules of a training stage, all from optax."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from imjax.config.schema import Train
from imjax.models.network import ENCODER

BETAS = (0.9, 0.999)
"""Decay of Adam's first and second moment per step."""


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Settings of the weights' update; equal ones share a compiled program."""

    kind: str
    schedule: str
    learning_rate: float
    momentum: float
    weight_decay: float
    epsilon: float
    horizon: int
    """Steps of the whole stage for `poly` and `one_cycle`, of one epoch for `plateau`, else 0."""
    patience: int
    """Epochs, for `plateau`, else 0."""
    encoder_lr_scale: float = 1.0
    """Factor on the whole step of an encoder's weights."""

    @classmethod
    def of(cls, options: Train, steps: int) -> Optimizer:
        """The optimizer of a stage of `options.epochs` epochs of `steps` steps."""
        total = options.epochs * steps
        horizons = {"poly": total, "one_cycle": total, "plateau": steps}
        return cls(
            options.optimizer,
            options.schedule,
            options.learning_rate,
            options.momentum,
            options.weight_decay,
            options.adam_epsilon,
            horizons.get(options.schedule, 0),
            options.patience if options.schedule == "plateau" else 0,
            options.encoder_lr_scale,
        )

    def make(self) -> optax.GradientTransformationExtraArgs:
        """The optax transformation; its `update` takes `value`, less of which is better, for `plateau`.

        `adamw` subtracts its weight decay without multiplying by the learning rate, as the library
        behind the published code of arXiv 2401.14387 does, and adds ε before the bias correction, as that
        library does too. `adam` has no decay, and ε after it, as PyTorch. `sgd` adds the decay to the
        gradient before the momentum, as PyTorch and the SSL4MIS benchmark do.
        """
        decay = optax.add_decayed_weights
        parts = {
            "adamw": (_scale_by_keras_adam(self.epsilon), self._rate(), decay(-self.weight_decay)),
            "adam": (optax.scale_by_adam(*BETAS, eps=self.epsilon), self._rate()),
            "sgd": (decay(self.weight_decay), optax.trace(self.momentum), self._rate()),
        }[self.kind]
        if self.encoder_lr_scale != 1:
            # Last, so that it scales what any optimizer makes of a rate, decoupled decay included.
            parts = (*parts, optax.masked(optax.scale(self.encoder_lr_scale), _select_encoder))
        return optax.with_extra_args_support(optax.chain(*parts))

    def rate_at(self, step: int) -> float | None:
        """The learning rate after `step` steps; None with `plateau`, where each member has its own."""
        if self.schedule == "plateau":
            return None
        schedule = self._schedule()
        return self.learning_rate if schedule is None else float(schedule(step))

    def _schedule(self) -> optax.Schedule | None:
        """The learning rate as a function of the step; None where it is none."""
        if self.schedule == "poly":
            # Power 0.9, as in the SSL4MIS benchmark.
            return optax.polynomial_schedule(self.learning_rate, 0.0, 0.9, self.horizon)
        if self.schedule == "one_cycle":
            # Smith & Topin 2018 (arXiv 1708.07120), with cosines: the small rates at the end are what short
            # trainings gain most from.
            return optax.cosine_onecycle_schedule(self.horizon, self.learning_rate, pct_start=0.25)
        return None

    def _rate(self) -> optax.GradientTransformation:
        """Minus the learning rate at each step."""
        if (schedule := self._schedule()) is not None:
            return optax.scale_by_learning_rate(schedule)
        constant = optax.scale(-self.learning_rate)
        if self.schedule == "plateau":
            # A tenth of the rate once the value has not fallen for `patience` epochs. It is that of the last
            # validation, the same in all steps of an epoch.
            plateau = optax.contrib.reduce_on_plateau(patience=self.patience, accumulation_size=self.horizon)
            return optax.chain(constant, plateau)
        return constant


def _select_encoder(params: Any) -> Any:
    """A tree of bools: which parameters, of one net or of a system of nets, are an encoder's."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: any(getattr(part, "key", None) == ENCODER for part in path), params
    )


def _scale_by_keras_adam(epsilon: float) -> optax.GradientTransformation:
    """`optax.scale_by_adam` with ε added to √v before the bias correction (methods.md 1.5).

    Its effect is then ε/√(1 − β₂ᵗ), which at the first step is 32 ε.
    """
    first, second = BETAS
    adam = optax.scale_by_adam(first, second)

    def update(updates, state, params=None):
        del params
        mu = optax.tree.update_moment(updates, state.mu, first, 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, state.nu, second, 2)
        count = optax.safe_increment(state.count)
        t = count.astype(jnp.float32)
        correction = jnp.sqrt(1 - second**t) / (1 - first**t)
        scaled = jax.tree.map(lambda m, v: correction * m / (jnp.sqrt(v) + epsilon), mu, nu)
        return scaled, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(adam.init, update)
