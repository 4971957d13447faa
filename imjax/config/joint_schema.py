"""The configuration of methods that see labeled and unlabeled images in every batch (methods.md 2)."""

from __future__ import annotations

import dataclasses

WEIGHTINGS = ("none", "inconsistency", "csl", "metassl")
"""What may weigh the pixels of a joint method (methods.md 2.2, 2.3)."""

TAPS = ("encoder", "decoder", "output")
"""Where a backbone's features can be had."""


@dataclasses.dataclass(frozen=True)
class View:
    """Photometry of one kind of view, drawn anew at each step: strengths (methods.md 1.8) and chances."""

    blur: int
    noise: int
    """Standard deviation of Gaussian noise, in gray levels."""
    gain: float
    offset: float
    contrast_prob: float
    blur_prob: float
    noise_prob: float


@dataclasses.dataclass(frozen=True)
class Ramp:
    """How consistency comes in: `peak · exp(−5(1 − t/T)²)`, methods.md 2."""

    peak: float
    steps: int
    """T."""
    unit: int
    """t is counted in units of so many steps."""


@dataclasses.dataclass(frozen=True)
class SimEps:
    """simEps, methods.md 2.1."""

    nets: int
    combine: str
    """How the other nets make a net's pseudo-label: `max` or `mean` of their probabilities."""
    kappa: float
    """Weight of the similarity loss."""
    stages: tuple[str, ...]
    """Where similarity is asked for: some of `encoder`, `decoder`, `output`."""


@dataclasses.dataclass(frozen=True)
class MetaSSL:
    """MetaSSL, methods.md 2.2."""

    unlabeled: tuple[float, ...]
    """Weights of the regions UC, US, DC, DS of unlabeled pixels; empty: those of the method."""
    labeled: tuple[float, ...]
    """The same of labeled ones."""
    threshold: float
    """Of confidence, at the start, for every class."""
    momentum: float
    """Of the thresholds' moving average."""


@dataclasses.dataclass(frozen=True)
class Joint:
    """Methods that see labeled and unlabeled images in every batch, methods.md 2."""

    patch: tuple[int, ...]
    """Depth, height and width of the random part of a volume that a step sees, and of the windows that nets
    predict through; empty: the whole."""
    predict_overlap: float
    """Share of its side that a window has in common with the next, along each axis of a volume."""
    weighting: str
    """What weighs the unlabeled pixels: `none`, `inconsistency` (pixels on which the two predictions
    disagree are out), `csl`, or `metassl`."""
    ramp: Ramp
    ema_decay: float
    """Largest decay of Mean Teacher's moving average."""
    teacher_noise: float
    """Standard deviation of the noise on the teacher's images, of 1, cut at twice as much."""
    confidence: float
    """FixMatch, UniMatch: least probability of a pseudo-label."""
    cps_labeled: bool
    """CPS: the nets learn each other's class of labeled images as well."""
    cutmix: float
    """Chance that an unlabeled strong view has a box of another image."""
    feature_dropout: float
    """UniMatch."""
    flip: float
    """Weak views: chance of each of the two mirrorings; of one where up and down matter."""
    turn: float
    """Weak views: chance of a turn by right angles, where up and down do not matter."""
    weak: View
    strong: View
    simeps: SimEps
    metassl: MetaSSL
