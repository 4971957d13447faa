"""NEU-Seg: defects on steel strip, 200x200, gray (Dong et al. 2020, PGA-Net)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from imjax.data import image_io, palette
from imjax.data.duplicates import group_scenes
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, file_error

PARTS = {"train_val": "training", "test": "test"}

SPEC = DatasetSpec(
    name="neu_seg",
    title="NEU-Seg",
    kind="multiclass",
    classes=("background", "inclusion", "patches", "scratches"),
    palette=(palette.BACKGROUND, *palette.object_colors(3)),
    channels=1,
    background=True,
    splits=("published", "scenes"),
    rotation_invariant=True,
    selection_metric="hard_miou",
    primary_metric="miou",
    source="https://github.com/DHW-Master/NEU_Seg",
    layout="\n".join(f"images/{part}/<name>.jpg  annotations/{part}/<name>.png" for part in PARTS.values()),
)


@dataclasses.dataclass(frozen=True)
class NeuSeg:
    """Reader of the original folders.

    The set is about 1 116 scenes, most of them in four copies turned by right angles, and its own division
    into training and test tears the copies apart. Hence two splits:

    * `published`: the folders as they are. Validation is drawn from training by scene; of test images
      whose scene is in training too `Sample.scene` is the same.
    * `scenes`: all images are one pool, divided by scene.
    """

    split: str = "published"
    """One of `spec.splits`."""
    spec: DatasetSpec = SPEC

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """See `raw.Reader`: parts `train_val` and `test`, or the pool. Reads every image to find the scenes.

        A file's number occurs in both folders, hence the folder in the samples' names.
        """
        for folder in PARTS.values():
            for path in (raw / "images" / folder, raw / "annotations" / folder):
                if not path.is_dir():
                    raise base.missing_data_error(self.spec, raw, f"folder {path} not found", path)
        parts = {part: _pairs(self.spec, raw, folder) for part, folder in PARTS.items()}
        listed = [(part, *pair) for part, pairs in parts.items() for pair in pairs]
        groups = group_scenes([image for _, _, image, _ in listed])
        published = self.split == "published"
        out: dict[str, list[Sample]] = {part: [] for part in (PARTS if published else ("train_val_test",))}
        first: dict[tuple[str, int], str] = {}
        for group, (part, name, image, mask) in zip(groups, listed, strict=True):
            # Named after its first image, which as published is one of the same part: a scene of both parts
            # counts as two, or it could not stay on both sides.
            part = part if published else "train_val_test"
            source = first.setdefault((part, group), name)
            out[part].append(Sample(name, source, image, mask, scene=str(group)))
        return {part: sorted(samples, key=lambda s: s.name) for part, samples in out.items()}

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[h, w, 1]`, label uint8 `[h, w]` in 0..3."""
        assert sample.image and sample.mask
        image, label = image_io.read_gray(sample.image), image_io.read_index(sample.mask)
        base.check_same_size(image, label, sample)
        if label.max() >= self.spec.outputs:
            raise file_error(
                sample.mask,
                f"value {label.max()} is no class; expected 0..{self.spec.outputs - 1}, "
                "correct the mask or remove the pair",
                ErrorCode.OUT_OF_RANGE,
            )
        return image[..., None], label


def _pairs(spec: DatasetSpec, raw: Path, folder: str) -> list[tuple[str, Path, Path]]:
    """Name, image and mask of each pair of one folder, sorted by name."""
    image_at, mask_at = raw / "images" / folder, raw / "annotations" / folder
    images = {path.stem: path for path in image_at.glob("*.jpg")}
    masks = {path.stem: path for path in mask_at.glob("*.png")}
    stems = base.check_pairs(images, masks, f"{image_at}/{{}}.jpg", f"{mask_at}/{{}}.png")
    if not stems:
        raise base.missing_data_error(spec, raw, f"no .jpg in {image_at}", image_at)
    return [(f"{folder}_{stem}", images[stem], masks[stem]) for stem in stems]
