"""Configuration: what the keys mean (`schema`), what they may be (`constraints`), and the protocols' figures.

The figures are plain functions that return ConfigDicts: `defaults` holds the published protocol, `datasets`,
`joint_datasets` and `own_data` what differs per dataset, `presets` the smaller sizes, `sweeps` what the
papers vary. `protocols` finds them by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_collections import ConfigDict

__all__ = ["get_config"]


def get_config(dataset: str, method: str, preset: str | None = None) -> ConfigDict:
    """The configuration of a method on a dataset: `get_config("suim", "aim_pp", preset="small")`.

    Args:
        dataset: `suim`, `acdc`, `folder` (images of your own), `synthetic`, …: see `protocols.PROTOCOLS`.
        method: one that the dataset has a protocol for; a joint method may end with `_metassl`.
        preset: `small` (minutes to an hour on two cores), `tiny` (a smoke run), or none: as published.

    Raises:
        UserError: a dataset, method or preset that is unknown, with the names closest to it.
    """
    # Here, so that `import imjax.config.schema` loads no ml_collections.
    from imjax.config import protocols

    return protocols.get_config(dataset, method, preset)
