"""What every configuration starts from: the schema's defaults, as a ConfigDict that functions change."""

import dataclasses

from ml_collections import ConfigDict

from imjax.config.schema import Config


def common() -> ConfigDict:
    """The published protocol (Vorndran & Roeck, arXiv 2401.14387), without a dataset's own figures."""
    return ConfigDict(dataclasses.asdict(Config()))
