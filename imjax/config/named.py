"""The file that `--config=NAME[:preset]` stands for: `--config=.../named.py:NAME[:preset]`."""

from ml_collections import ConfigDict

from imjax.config import protocols


def get_config(text: str) -> ConfigDict:
    """`suim_aim_pp:small` → its configuration."""
    name, _, preset = text.partition(":")
    return protocols.get_named_config(name, preset or None)
