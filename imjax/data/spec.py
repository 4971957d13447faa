"""What a dataset is, as values: the rest of the code never asks for a dataset's name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal

LabelKind = Literal["binary", "multiclass", "multilabel"]

VOID = 255
"""Label value of pixels that no loss and no metric counts."""
BACKGROUND_NAMES = re.compile(r"(.*[ _-])?(background|bg)_?", re.IGNORECASE)
"""Names that only what surrounds objects has."""


def is_background_name(name: str) -> bool:
    """Whether a class of several is what surrounds the objects of the others, by its name.

    `class 0` is the name of 0 in masks whose values have no names.
    """
    return bool(BACKGROUND_NAMES.fullmatch(name)) or name.casefold() == "class 0"


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """Facts about one dataset.

    Labels are uint8: `[h, w]` class indices (multiclass) or 0/1 (binary), `[h, w, k]` 0/1
    (multilabel); `VOID` marks pixels to ignore. With `dims` 3 both images and labels have an axis `d` first.
    """

    name: str
    title: str
    kind: LabelKind
    classes: tuple[str, ...]
    """One name per network output. With `reserved`, entry 0 is the inconsistent class."""
    palette: tuple[tuple[int, int, int], ...]
    """RGB, one color per entry of `classes`."""
    channels: int = 3
    channel_names: tuple[str, ...] = ()
    """Of the user's own images: one name per channel; empty for published sets, which have gray or RGB."""
    file_channels: tuple[str, ...] = ()
    """Names of all channels that the files have, of which `channel_names` are used."""
    value_limits: tuple[tuple[float, float], ...] = ()
    """What becomes 0 and 255 in each channel, where images of more than 8 bits are scaled over the folder."""
    dims: int = 2
    """Spatial axes of one image; 3: each is a volume `[d, h, w, c]`, packed whole."""
    reserved: bool = False
    """Class 0 never occurs in the truth; it labels inconsistent pixels (methods.md 1.3)."""
    background: bool = False
    """Class 0 is what is no object: figures over classes leave it out (methods.md 2.1, 2.2). Never together
    with `reserved`."""
    volumes: bool = False
    """Images are slices of volumes: figures are taken per volume. Names of the slices of one volume are the
    same up to their first `#` (`raw.slice_name`), and their order by name is that in the volume."""
    splits: tuple[str, ...] = ("published",)
    """Variants of the division into training, validation and test, the default first."""
    rotation_invariant: bool = False
    """Up and down do not matter: vertical flips and right-angle rotations are allowed, of volumes those in
    the plane of a slice."""
    label_resize: Literal["nearest", "corner", "bilinear"] = "nearest"
    """How a label comes to the packed size: the value of the nearest pixel, that of the pixel whose corner is
    nearest (OpenCV's plain rule), or (binary) the bilinear mean cut at one half (methods.md 1.9)."""
    image_resize: Literal["area", "bilinear"] = "area"
    """How an image comes to the packed size: shrunk by the mean over each pixel's area, or always bilinearly
    (methods.md 1.9)."""
    empty_iou: Literal[0, 1] = 1
    """Binary, multilabel: IoU and Dice of an image (channel) with no object in truth or prediction; 0 as the
    published sets have it, by I/(U+1e-7) (methods.md 1.10). Not a smoothing term."""
    oversized_crop: Literal["square", "whole"] = "square"
    """What becomes of a random crop whose side exceeds the image: the largest square of it, or the whole
    image without its aspect ratio (methods.md 1.9)."""
    target_scale: tuple[float, ...] = (1.0,)
    """Binary, multilabel: factor on the target of the squared error, one or one per output (1.5)."""
    dilate_channels: tuple[int, ...] = ()
    """Multilabel channels that are dilated when the inconsistency mask is eroded (methods.md 1.3)."""
    detection_shares: tuple[float, ...] = ()
    """Multilabel: share of the image from which EvalNet counts a channel as present (methods.md 1.6)."""
    counts_cells: bool = False
    """The channels are those of `imjax.evaluation.cell_count`: predicted positions are redrawn before they
    are scored, and the cell count error is a metric (methods.md 1.10)."""
    selection_metric: Literal["hard_iou", "hard_miou", "soft_iou", "soft_miou", "loss"] = "soft_miou"
    """Validation metric that selects each candidate's best epoch: of `imjax.evaluation.metrics`, computed per
    batch, from the predicted masks (`hard_…`) or from their probabilities (`soft_…`)."""
    primary_metric: str = "miou"
    """Metric, larger is better, that ranks the candidates on the validation set, and that tables and curves
    show for the test set."""
    source: str = ""
    """Where the data is had, for the message that says it is missing."""
    layout: str = ""
    """The folder tree expected under the data folder, one path per line."""

    @property
    def outputs(self) -> int:
        """Number of network outputs."""
        return len(self.classes)

    def with_empty_iou(self, choice: str) -> DatasetSpec:
        """The spec with `empty_iou` as the config key of that name says: `dataset`, `zero` or `one`."""
        return (
            self if choice == "dataset" else dataclasses.replace(self, empty_iou=1 if choice == "one" else 0)
        )

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> DatasetSpec:
        """The spec that `dataclasses.asdict` and json made `fields` of.

        Raises:
            TypeError: a field is unknown or missing.
        """
        return cls(**{name: _tuples(value) for name, value in fields.items()})


def _tuples(value: Any) -> Any:
    """JSON knows lists only."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
