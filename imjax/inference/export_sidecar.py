"""What a program without imjax must know of exported nets: the contents of the `.json` beside them."""

from __future__ import annotations

from typing import Any

from imjax import __version__
from imjax.config.schema import Data
from imjax.data import intensity
from imjax.data.image_meaning import GRAY, RGB
from imjax.data.spec import DatasetSpec


def describe_nets(name: str, file_format: str, nets: int, spec: DatasetSpec, data: Data) -> dict[str, Any]:
    """Contents of the sidecar of exported nets, see docs/how-to/export.md.

    Args:
        name: of the stage that trained the nets.
        file_format: a name of `export.FORMATS`.
        nets: how many, whose mean it is.
        spec: of the dataset.
        data: how images came to the nets.
    """
    # The BioImage Model Zoo has channels first, and floats: its programs do not take bytes.
    zoo = file_format == "bioimageio"
    multiclass = spec.kind == "multiclass"
    return {
        "imjax": __version__,
        "format": file_format,
        "stage": name,
        "dataset": spec.title,
        "nets": nets,
        "input": {
            "name": "images",
            "axes": "bcyx" if zoo else "byxc",
            "dtype": "float32" if zoo else "uint8",
            "range": [0, 255],
            "height": data.height,
            "width": data.width,
            "channels": channel_names(spec),
        },
        "fit": "tile" if data.is_grid else data.resize_mode if data.resize_mode == "pad" else "resize",
        "image_resize": spec.image_resize,
        "stretch_percentiles": list(intensity.PERCENTILES) if data.percentile_normalize else None,
        "scale_to_8_bits": _describe_scaling(spec),
        "output": {
            "name": "probabilities",
            "axes": "bcyx" if zoo else "byxc",
            "dtype": "float32",
            "range": [0, 1],
            "adds_up_to_1": multiclass and not spec.reserved,
        },
        "kind": spec.kind,
        "classes": _describe_classes(spec),
        "decision": "argmax" if multiclass else "threshold",
        "threshold": None if multiclass else 0.5,
    }


def channel_names(spec: DatasetSpec) -> list[str]:
    """One name for each channel of an image."""
    if spec.channel_names:
        return list(spec.channel_names)
    known = {len(names): names for names in (GRAY, RGB)}
    return list(known.get(spec.channels, [f"channel{i}" for i in range(spec.channels)]))


def _describe_scaling(spec: DatasetSpec) -> dict[str, Any]:
    """How images of more than 8 bits become bytes (`data.value_scaling`)."""
    if spec.value_limits:
        return {"by": "folder", "limits": [list(pair) for pair in spec.value_limits]}
    return {"by": "image", "percentiles": list(intensity.PERCENTILES)}


def _describe_classes(spec: DatasetSpec) -> list[dict[str, Any]]:
    """Name, channel of the output, value in a mask and color of each class."""
    first = int(spec.reserved)
    own = list(zip(spec.classes, spec.palette, strict=True))[first:]
    # A binary mask has 0 for the background, which is no class.
    shift = int(spec.kind == "binary")
    return [
        {"name": name, "channel": i, "value": 1 if spec.kind == "multilabel" else i + shift, "color": color}
        for i, (name, color) in enumerate(own)
    ]
