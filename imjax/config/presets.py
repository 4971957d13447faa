"""Presets, named after a colon: `configs/suim_aim_pp.py:tiny`."""

from ml_collections import ConfigDict

from imjax.errors import ErrorCode, UserError


def apply(config: ConfigDict, preset: str, presets: dict) -> ConfigDict:
    """Apply a preset of the dataset to its configuration.

    Args:
        config: changed in place.
        preset: what stood after the colon; empty: the full protocol.
        presets: name → function that changes a configuration.

    Raises:
        UserError: no such preset, with the ones there are.
    """
    if preset:
        if preset not in presets:
            raise UserError(
                f"preset {preset!r} is unknown; there are: {', '.join(presets)}",
                code=ErrorCode.UNKNOWN,
                field="preset",
            )
        presets[preset](config)
    return config


def equal_steps(config: ConfigDict, epochs: int, steps: int, batch: int) -> None:
    """The same number of optimizer steps for every start and generation, whatever the set's size.

    With few images the published 50 epochs are a few dozen steps, and LDT would merely be under-trained.
    """
    config.train.update(epochs=epochs, steps_per_epoch=steps, batch_size=batch)
    config.consistency.epochs = epochs


def street(config: ConfigDict) -> None:
    """Augmentation of the study's street scenes, Cityscapes: small things far away bear little blur."""
    config.augment.update(
        blur=(0, 0, 0, 0, 1),
        noise=(3, 6, 9, 12, 15),
        contrast=(0.05, 0.1, 0.2, 0.3, 0.4),
        brightness=(3.0, 6.0, 9.0, 12.0, 15.0),
    )
    config.aldt.update(blur=1, noise=15, contrast=0.4, brightness=15.0)
    config.consistency.update(
        blur=(0, 0, 1), noise=(3, 9, 15), contrast=(0.05, 0.2, 0.4), brightness=(3.0, 9.0, 15.0)
    )


def of_study(height: int, width: int, net_width: float) -> dict:
    """Presets of a set of the study, `small` with this size and width of nets."""
    return {"small": lambda config: small(config, height, width, net_width), "tiny": tiny}


def small(config: ConfigDict, height: int, width: int, net_width: float) -> None:
    """Less of everything, for two cores."""
    config.generations = 3
    config.num_baseline_nets = config.num_nets = config.report_top_k = 4
    config.data.update(height=height, width=width)
    # momentum: with the published 0.99 the running statistics lag behind a few hundred steps so far that
    # half of the nets see nothing on val, however well they train.
    growing = (net_width, 1.25 * net_width, 1.5 * net_width)
    config.model.update(width=net_width, width_per_generation=growing, momentum=0.95)
    equal_steps(config, epochs=20, steps=30, batch=8)
    config.evalnet.update(width=net_width, num_nets=4)
    config.evalnet.train.update(epochs=15, steps_per_epoch=30, batch_size=16)


def tiny(config: ConfigDict) -> None:
    """A smoke run of one or two minutes on two cores: every kind of stage, hardly any training."""
    config.generations = 2
    config.num_baseline_nets = config.num_nets = config.report_top_k = 2
    config.eval_batch_size = 8
    config.data.update(height=64, width=64)
    config.model.update(width=0.25, width_per_generation=(0.25, 0.375), momentum=0.9)
    equal_steps(config, epochs=6, steps=25, batch=8)
    config.evalnet.update(width=0.25, num_nets=2)
    config.evalnet.pairs.update(epochs=3, val_epochs=1)
    config.evalnet.train.update(epochs=3, steps_per_epoch=8, batch_size=4)
