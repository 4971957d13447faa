"""The configuration of methods that see labeled and unlabeled images in every batch (methods.md 2)."""

from __future__ import annotations

import dataclasses

from imjax.config.key import Constraint, at_least, below, between, group, key, more_than, one_of, some_of

WEIGHTINGS = ("none", "inconsistency", "csl", "metassl")
"""What may weigh the pixels of a joint method (methods.md 2.2, 2.3)."""

LABELERS = ("student", "teacher")
"""Who may make the pseudo-labels of FixMatch and UniMatch."""

PSEUDO_LABEL_LOSSES = ("cross_entropy", "dice")
"""Losses against the pseudo-labels of FixMatch and UniMatch."""

TAPS = ("encoder", "decoder", "output")
"""Where a backbone's features can be had."""

REGIONS = Constraint(lambda v: len(v) in (0, 4), "four weights, of UC, US, DC, DS, or none")
CHANCE = between(0, 1)


@dataclasses.dataclass(frozen=True)
class View:
    """Photometry of one kind of view, drawn anew at each step: strengths (methods.md 1.8) and chances."""

    blur: int = key(0, "Largest radius of the blur, in pixels, from 0 to 3.", between(0, 3))
    noise: int = key(0, "Standard deviation of Gaussian noise, in gray levels.", at_least(0))
    contrast: float = key(0.0, "The factor is drawn from 1 ± contrast.")
    brightness: float = key(0.0, "Gray levels that are added, drawn from ± brightness.")
    contrast_prob: float = key(0.0, "Chance of contrast and brightness.", CHANCE)
    blur_prob: float = key(0.0, "Chance of blur.", CHANCE)
    noise_prob: float = key(0.0, "Chance of noise.", CHANCE)


STRONG = View(
    blur=3, noise=12, contrast=0.5, brightness=25.0, contrast_prob=0.8, blur_prob=0.5, noise_prob=0.5
)


@dataclasses.dataclass(frozen=True)
class Rampup:
    """How consistency comes in: `max_weight · exp(−5(1 − t/T)²)`, methods.md 2."""

    max_weight: float = key(0.1, "Weight of consistency at the end of the ramp-up.", at_least(0))
    steps: int = key(30_000, "T: steps of the ramp-up.", at_least(1))
    update_every: int = key(150, "Steps between two updates of t, and so of the weight.", at_least(1))


@dataclasses.dataclass(frozen=True)
class SimEps:
    """simEps, methods.md 2.1."""

    num_nets: int = key(
        3, "Nets that learn from one another.", Constraint(lambda v: v >= 2, "at least 2 (published: 3 or 4)")
    )
    reduce: str = key(
        "max",
        "How the other nets make a net's pseudo-label: `max` or `mean` of their probabilities.",
        one_of(("max", "mean")),
    )
    kappa: float = key(50.0, "Weight of the similarity loss.", at_least(0))
    feature_levels: tuple[str, ...] = key(
        ("output",), "Where similarity is asked for: some of `encoder`, `decoder`, `output`.", some_of(TAPS)
    )


@dataclasses.dataclass(frozen=True)
class UAMT:
    """UA-MT, methods.md 2.4."""

    passes: int = key(
        8,
        "Noisy passes of the teacher from which its uncertainty is taken.",
        Constraint(lambda v: v >= 2 and v % 2 == 0, "an even number of at least 2"),
    )


@dataclasses.dataclass(frozen=True)
class ICT:
    """ICT, methods.md 2.4."""

    alpha: float = key(0.2, "Mixing shares of two images are drawn from Beta(α, α).", more_than(0))


@dataclasses.dataclass(frozen=True)
class UAPS:
    """UAPS, methods.md 2.5."""

    uncertainty_weight: float = key(
        1.0, "Weight of the decoders' divergence from their mean, beside the pseudo-labels.", at_least(0)
    )


@dataclasses.dataclass(frozen=True)
class MetaSSL:
    """MetaSSL, methods.md 2.2."""

    unlabeled: tuple[float, ...] = key(
        (), "Weights of the regions UC, US, DC, DS of unlabeled pixels; empty: those of the method.", REGIONS
    )
    labeled: tuple[float, ...] = key((), "The same of labeled ones.", REGIONS)
    threshold: float = key(0.9, "Confidence threshold at the start, for every class.")
    momentum: float = key(0.5, "Of the thresholds' moving average.", CHANCE)


@dataclasses.dataclass(frozen=True)
class Joint:
    """Methods that see labeled and unlabeled images in every batch, methods.md 2."""

    patch: tuple[int, ...] = key(
        (),
        "Depth, height and width of the random part of a volume that a step sees, and of the windows that "
        "nets predict through; empty: the whole.",
    )
    predict_overlap: float = key(
        0.5,
        "Share of its side that a window has in common with the next, along each axis of a volume.",
        below(1),
    )
    pixel_weighting: str = key(
        "none",
        "What weighs the unlabeled pixels: `none`, `inconsistency` (pixels on which the two predictions "
        "disagree are out), `csl`, or `metassl`.",
        one_of(WEIGHTINGS),
    )
    block_input: bool = key(
        False,
        "With `inconsistency`, of CPS, FixMatch, Mean Teacher and UniMatch: pixels on which two nets, or "
        "teacher and student, disagree are 0 in the image that is trained on as well, and their pseudo-label "
        "does not count (methods.md 2.3).",
    )
    rampup: Rampup = group(Rampup())
    warmup_steps: int = key(
        0,
        "Steps before the loss of unlabeled images counts; 0, as published. The ramp-up begins after them. "
        "The nets see these images from the start, so that batch statistics are of both halves.",
        at_least(0),
    )
    ema_decay: float = key(0.99, "Largest decay of the teacher's moving average.", CHANCE)
    teacher_noise: float = key(
        0.1,
        "Standard deviation of the noise on the teacher's images, of 1, cut at twice as much.",
        at_least(0),
    )
    confidence_threshold: float = key(
        0.95, "FixMatch, UniMatch: least probability of a pseudo-label.", CHANCE
    )
    labeler: str = key(
        "student",
        "FixMatch, UniMatch: whose prediction of the weak view is the pseudo-label: `student`, the net that "
        "is trained, as published, or `teacher`, the moving average of its weights (`joint.ema_decay`).",
        one_of(LABELERS),
    )
    pseudo_label_loss: str = key(
        "cross_entropy",
        "FixMatch, UniMatch: loss against the pseudo-labels: `cross_entropy`, as published, or soft `dice` "
        "over the confident pixels, as UniMatch's code has it for ACDC.",
        one_of(PSEUDO_LABEL_LOSSES),
    )
    cps_labeled: bool = key(False, "CPS: the nets learn each other's class of labeled images as well.")
    cutmix_prob: float = key(0.5, "Chance that an unlabeled strong view has a box of another image.", CHANCE)
    feature_dropout: float = key(
        0.5, "UniMatch: share of the features that its third stream drops.", below(1)
    )
    flip_prob: float = key(
        0.5, "Weak views: chance of each of the two mirrorings; of one where up and down matter.", CHANCE
    )
    rotate_prob: float = key(
        0.5, "Weak views: chance of a turn by right angles, where up and down do not matter.", CHANCE
    )
    weak: View = group(View(), "Photometry of weak views.")
    strong: View = group(STRONG, "Photometry of strong views.")
    simeps: SimEps = group(SimEps())
    ua_mt: UAMT = group(UAMT())
    ict: ICT = group(ICT())
    uaps: UAPS = group(UAPS())
    metassl: MetaSSL = group(MetaSSL())
