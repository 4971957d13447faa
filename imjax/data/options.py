"""What decides the packed arrays, as one value."""

from __future__ import annotations

import dataclasses

from imjax.config.schema import Data


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Everything that changes what `pack.prepare_dataset` writes."""

    dataset: str
    """A name of `readers.names()`."""
    dir: str = ""
    """Folder with the original download; unused by the synthetic set."""
    size: tuple[int, int] = (256, 256)
    """Height and width of the packed images, multiples of 16."""
    depth: int = 0
    """Slices of the packed volumes, a multiple of 16; 0: images."""
    crops: int = 0
    """Random square crops per image; 0 packs the whole image."""
    overlap: float = 0.0
    """Share of its side that a crop of the packed size has in common with the next, in a grid over the whole
    image; 0 cuts no such crops."""
    fit: str = "resize"
    """How an image comes to that size, one of `imjax.config.schema.FITS`; see `crops.cut`."""
    stretch: bool = False
    """Whether each image's gray levels are brought to one range, see `levels.stretch`."""
    label_fraction: float = 0.1
    """Share of the training images that counts as labeled."""
    val_fraction: float = 0.1
    """Share held out for validation where the original has no validation part."""
    test_fraction: float = 0.2
    """Share held out for the test where the original is one pool of images."""
    split: str = "published"
    """Which division into training, validation and test: one of `DatasetSpec.splits`."""
    by_crop: bool = False
    """Whether a share of the crops and not of the images is labeled, from the published grid with its
    repetitions (methods.md 1.9, HeLa)."""
    split_seed: int = 0
    label_kind: str = "auto"
    """Of a folder of the user's own: what its masks are, one of `imjax.config.schema.LABEL_KINDS`."""
    rotation_invariant: bool = True
    """Of a folder of the user's own: see `DatasetSpec.rotation_invariant`."""
    synthetic_train: int = 400
    synthetic_val: int = 80
    synthetic_test: int = 80

    @property
    def box(self) -> tuple[int, ...]:
        """Sides of a packed image, `(h, w)`, or of a packed volume, `(d, h, w)`."""
        return (self.depth, *self.size) if self.depth else self.size

    @property
    def grid(self) -> bool:
        """Whether an image becomes a grid of crops."""
        return self.overlap > 0 or (self.fit == "crop" and not self.crops)

    @property
    def cropped(self) -> bool:
        """Whether an image becomes several pieces, whatever their number."""
        return self.grid or self.crops > 0

    @classmethod
    def of(cls, data: Data) -> DataOptions:
        """The options of a configuration."""
        values = dataclasses.asdict(data) | {"size": (data.height, data.width)}
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})
