"""Datasets of the joint-training methods: their protocols as published (methods.md 2) and presets."""

from typing import Any

from ml_collections import ConfigDict

from imjax.config import presets
from imjax.config.defaults import common


def jointly(method: str, dataset: str, pixel_weighting: str = "none", **data: Any) -> ConfigDict:
    """The medical benchmark's net and optimizer; three systems that start differently, side by side."""
    config = common()
    config.method, config.joint.pixel_weighting = method, pixel_weighting
    if pixel_weighting == "metassl":
        # As in its released Mean Teacher; other methods have no teacher.
        config.joint.teacher_noise = 0.0
    config.num_nets = config.report_top_k = 3
    config.generations = 0
    config.data.update(dataset=dataset, dir=f"data/{dataset}", **data)
    config.model.update(backbone="unet_dropout", momentum=0.9)
    if method == "urpc":
        config.model.auxiliary = "scales"
    config.train.update(optimizer="sgd", schedule="poly", learning_rate=0.01, batch_size=24)
    return config


def _defects(method: str, dataset: str, rate: float, **data: Any) -> ConfigDict:
    """simEps's protocol on surface defects, for all methods alike: 800 epochs, half of 32 images labeled."""
    config = jointly(method, dataset, **data)
    config.train.update(
        optimizer="adam",
        schedule="plateau",
        learning_rate=rate,
        batch_size=32,
        epochs=800,
        steps_per_epoch=60,
    )
    config.joint.update(flip_prob=0.4, rotate_prob=0.3)
    config.joint.weak.update(
        contrast_prob=0.3, blur_prob=0.3, noise_prob=0.3,
        blur=2, noise=10, contrast=0.2, brightness=20.0,
    )  # fmt: skip
    return config


def neu_seg(method: str, preset: str | None) -> ConfigDict:
    """NEU-Seg: three kinds of defects on steel strips."""
    config = _defects(method, "neu_seg", 0.001)
    if method == "uaps":
        # As in its released code: 200 units of 80 steps.
        config.joint.rampup.update(steps=16_000, update_every=80)
    return presets.apply(config, preset or "", {"small": small, "tiny": _tiny_defects})


def dagm(method: str, preset: str | None) -> ConfigDict:
    """DAGM 2007: defects on textures, a class for each kind of texture."""
    config = _defects(method, "dagm", 0.002)
    _features(config)
    return presets.apply(config, preset or "", {"small": small, "tiny": _tiny_defects})


def mt(method: str, preset: str | None) -> ConfigDict:
    """Magnetic tiles: five kinds of defects, 40 % labeled as published."""
    config = _defects(method, "mt", 0.002, label_fraction=0.4, split="regions")
    # Published: 80 at 30 % and 97 at 50 % of the labels; between them, as nothing is said of 40 %.
    config.train.steps_per_epoch = 90
    _features(config)
    return presets.apply(config, preset or "", {"small": _small_tiles, "tiny": _tiny_defects})


def _features(config: ConfigDict) -> None:
    """simEps compares features where the output's likeness says little: most of an image is background."""
    config.joint.simeps.update(kappa=200.0, feature_levels=("encoder", "decoder"))


def acdc(method: str, preset: str | None, pixel_weighting: str = "none") -> ConfigDict:
    """ACDC: heart in slices of MRI, 7 of 70 patients labeled; 30 000 steps."""
    config = jointly(method, "acdc", pixel_weighting)
    config.train.update(epochs=200, steps_per_epoch=150)
    return presets.apply(config, preset or "", {"small": _small_hearts, "tiny": tiny})


def _small_hearts(config: ConfigDict) -> None:
    """`small`, with brightness and contrast drawn: without, nets of a few patients found no heart in a darker
    scan (docs/notes/README.md)."""
    small(config)
    config.joint.weak.update(contrast=0.4, brightness=25.0, contrast_prob=0.7)


def la(method: str, preset: str | None, pixel_weighting: str = "none") -> ConfigDict:
    """LA heart: the left atrium in volumes of MRI, 8 of 80 cases labeled; 15 000 steps of 2 + 2 patches.

    Val is 8 of the other cases. Consistency rises until the last step, as for ACDC.
    """
    config = jointly(method, "la", pixel_weighting, depth=96, height=208, width=176)
    config.joint.patch = (80, 112, 112)
    config.joint.rampup.steps = 15_000
    config.train.update(epochs=100, steps_per_epoch=150, batch_size=4)
    config.eval_batch_size = 4
    # What a net remembers of a volume for its gradient takes gigabytes.
    config.nets_per_device = 1
    return presets.apply(config, preset or "", {"small": _small_volumes, "tiny": _tiny_volumes})


def _small_volumes(config: ConfigDict) -> None:
    """Two systems of a net with half of the filters, 300 steps of patches that a hand would cover."""
    config.num_nets = config.report_top_k = 2
    config.joint.patch = (32, 64, 64)
    config.model.update(features=(8, 16, 32, 64), dropouts=(0.05, 0.1, 0.2, 0.3))
    equal_steps(config, epochs=10, steps=30, batch=4)


def _tiny_volumes(config: ConfigDict) -> None:
    """A smoke run of one or two minutes on two cores; the box is that of the synthetic volumes."""
    config.num_nets = config.report_top_k = 2
    config.data.update(depth=32, height=64, width=80)
    config.joint.patch = (16, 32, 32)
    config.model.update(features=(4, 8, 16), dropouts=(0.05, 0.1, 0.2))
    config.eval_batch_size = 8
    equal_steps(config, epochs=6, steps=20, batch=4)


def small(config: ConfigDict) -> None:
    """Two systems of the study's lighter U-Net, 600 steps of 8 + 8 images, for two cores."""
    config.num_nets = config.report_top_k = 2
    config.data.update(height=64, width=64)
    study(config, net_width=0.5)
    equal_steps(config, epochs=20, steps=30, batch=16)


def study(config: ConfigDict, net_width: float) -> None:
    """The study's lighter U-Net in place of the benchmark's, with dropout for R-Drop, which needs it."""
    config.model.update(
        backbone="unet_residual", width=net_width, dropout=0.2 if config.method == "rdrop" else 0.0
    )


def _small_tiles(config: ConfigDict) -> None:
    """As `small`, but one system, 1 800 steps, 128x128 pixels and one range of gray levels: at 64x64 a blow
    hole is a pixel or two, and nothing was found. Nets that know no defect yet say background everywhere;
    hence consistency rises until the last step, and likeness, whose gradient is forty times that of the
    labels at the start with the published weight, has a tenth of it (docs/notes/README.md)."""
    small(config)
    config.num_nets = config.report_top_k = config.ensemble.members = 1
    config.data.update(height=128, width=128, percentile_normalize=True)
    equal_steps(config, epochs=60, steps=30, batch=16)
    config.joint.rampup.steps = 1800
    config.joint.simeps.kappa = 20.0


def tiny(config: ConfigDict) -> None:
    """A smoke run of two or three minutes on two cores: 120 steps left a third of the methods at chance."""
    config.num_nets = config.report_top_k = 2
    config.eval_batch_size = 8
    config.data.update(height=64, width=64)
    config.model.width = 0.25
    equal_steps(config, epochs=24, steps=25, batch=8)


def _tiny_defects(config: ConfigDict) -> None:
    """As `tiny`, with the study's U-Net: the benchmark's, half dropped out, is slow to find small spots."""
    tiny(config)
    study(config, net_width=0.25)


def equal_steps(config: ConfigDict, epochs: int, steps: int, batch: int) -> None:
    """As many steps for every method, with the ramp-up in proportion.

    So few want a fast optimizer, and an epoch or two without progress is no plateau: the rate stays.
    """
    total = epochs * steps
    share = total / (config.train.epochs * config.train.steps_per_epoch)
    rampup = config.joint.rampup
    for name in ("steps", "update_every"):
        rampup[name] = max(1, round(rampup[name] * share))
    config.train.update(optimizer="adam", schedule="auto", learning_rate=0.003)
    config.train.update(epochs=epochs, steps_per_epoch=steps, batch_size=batch)
