"""A folder of one's own (docs/how-to/own_data.md): what can be said without knowing what is in it."""

from ml_collections import ConfigDict

from imjax.config import joint_datasets, presets
from imjax.config.defaults import common

DATA = dict(dataset="folder", dir="my_data", label_fraction=1.0, val_fraction=0.2)
"""Every mask that is not held out for val or test is a labeled image, and of few masks a tenth is no val."""


def folder(method: str, preset: str | None) -> ConfigDict:
    """A generational method: the study's ensemble and generations, pretrained nets, equal steps.

    Labeled sets are small; the published rule of ⌊images / batch⌋ steps would leave them a few dozen.
    """
    config = common()
    config.method = method
    config.data.update(DATA)
    presets.equal_steps(config, epochs=50, steps=40, batch=16)
    _set_score_thresholds(config)
    config.evalnet.train.update(epochs=50, steps_per_epoch=40, batch_size=16)
    sizes = {"small": _small, "tiny": presets.tiny}
    return _start_from_knowledge(presets.apply(config, preset or "", sizes), preset)


def _start_from_knowledge(config: ConfigDict, preset: str | None) -> ConfigDict:
    """Pretrained nets and the strong recipe: with a few dozen masks they are worth more than any method
    (docs/how-to/pretrained_encoders.md)."""
    config.recipe = "strong"
    # An encoder would take longer to compile than the rest of a smoke run.
    if preset != "tiny":
        config.model.update(backbone="efficientnet_lite0", weights="imagenet")
        config.train.learning_rate = 0.001
    return config


def _set_score_thresholds(config: ConfigDict) -> None:
    """EvalNet's thresholds: where its scores lie is not known before, and a report's table of them tells."""
    config.evalnet.update(min_score=0.5, max_score=0.7, keep_threshold=0.6)


def _small(config: ConfigDict) -> None:
    """Less of everything, for two cores."""
    presets.small(config, 128, 128, net_width=0.5)


def folder_jointly(method: str, preset: str | None) -> ConfigDict:
    """A joint method: pretrained nets, three systems of 10 000 fast steps."""
    config = joint_datasets.jointly(method, "folder")
    config.data.update(DATA)
    config.train.update(epochs=200, steps_per_epoch=150)
    joint_datasets.equal_steps(config, epochs=100, steps=100, batch=16)
    sizes = {"small": _small_jointly, "tiny": joint_datasets.tiny}
    return _start_from_knowledge(presets.apply(config, preset or "", sizes), preset)


def _small_jointly(config: ConfigDict) -> None:
    """Less of everything, for two cores, with images as large as the generational methods have them."""
    joint_datasets.small(config)
    config.data.update(height=128, width=128)
