"""The optimizers and schedules that a training stage may ask for, all from optax."""

from __future__ import annotations

import dataclasses

import optax

from imjax.config.schema import Train


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """What decides the update of the weights; equal ones share a compiled program."""

    kind: str
    schedule: str
    learning_rate: float
    momentum: float
    weight_decay: float
    epsilon: float
    horizon: int
    """Steps of the whole stage for `poly`, of one epoch for `plateau`, else 0."""
    patience: int
    """Epochs, for `plateau`, else 0."""

    @classmethod
    def of(cls, options: Train, steps: int) -> Optimizer:
        """As a stage of `options.epochs` epochs of `steps` steps has it."""
        horizons = {"poly": options.epochs * steps, "plateau": steps}
        return cls(
            options.optimizer,
            options.schedule,
            options.learning_rate,
            options.momentum,
            options.weight_decay,
            options.adam_epsilon,
            horizons.get(options.schedule, 0),
            options.patience if options.schedule == "plateau" else 0,
        )

    def make(self) -> optax.GradientTransformationExtraArgs:
        """The transformation of gradients; `update` wants as `value` what a plateau is seen by.

        `adamw` takes its decay off the weights as it is, not times the learning rate (methods.md 1.5). `adam`
        has none. `sgd` adds it to the gradient, before the momentum, as the benchmark of methods.md 2 does.
        """
        adam = optax.scale_by_adam(eps=self.epsilon)
        decay = optax.add_decayed_weights
        parts = {
            "adamw": (adam, self._rate(), decay(-self.weight_decay)),
            "adam": (adam, self._rate()),
            "sgd": (decay(self.weight_decay), optax.trace(self.momentum), self._rate()),
        }[self.kind]
        return optax.with_extra_args_support(optax.chain(*parts))

    def _rate(self) -> optax.GradientTransformation:
        """Minus the learning rate at each step."""
        if self.schedule == "poly":
            # Power 0.9: methods.md 2.
            poly = optax.polynomial_schedule(self.learning_rate, 0.0, 0.9, self.horizon)
            return optax.scale_by_learning_rate(poly)
        constant = optax.scale(-self.learning_rate)
        if self.schedule == "plateau":
            # A tenth once its mean over an epoch has not fallen for `patience` of them.
            slower = optax.contrib.reduce_on_plateau(patience=self.patience, accumulation_size=self.horizon)
            return optax.chain(constant, slower)
        return constant
