"""ACDC: the heart in magnetic resonance, slices and volumes (Bernard et al. 2018, prepared as in SSL4MIS)."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from imjax.data import image_io, palette
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError, file_error

SLICES = "train_slices.list"
VOLUMES = {"val": "val.list", "test": "test.list"}

SPEC = DatasetSpec(
    name="acdc",
    title="ACDC",
    kind="multiclass",
    classes=("background", "right ventricle", "myocardium", "left ventricle"),
    palette=(palette.BACKGROUND, *palette.object_colors(3)),
    channels=1,
    background=True,
    volumes=True,
    rotation_invariant=True,
    selection_metric="hard_miou",
    primary_metric="dice",
    source="https://github.com/HiLab-git/SSL4MIS (data/ACDC)",
    layout="\n".join(
        (
            f"{SLICES}  data/slices/patient<n>_frame<m>_slice_<z>.h5",
            *(f"{name}  data/patient<n>_frame<m>.h5" for name in VOLUMES.values()),
        )
    ),
)


@dataclasses.dataclass(frozen=True)
class Acdc:
    """Reader of SSL4MIS's preparation: slices to train, volumes to validate and test; a source is a patient.

    The labeled patients are the first of the list of training slices, as SSL4MIS has it: its 3 labeled
    cases of 70 are `label_fraction` 3/70, the first 68 slices.
    """

    label_fraction: float = 0.1
    """Share of the training patients that is labeled; at least one is, and below 1 at least one is not."""
    spec: DatasetSpec = SPEC

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """See `raw.Reader`: parts `labeled`, `train`, and, their samples being stacks, `val` and `test`."""
        for path in (raw / SLICES, raw / "data" / "slices", *(raw / name for name in VOLUMES.values())):
            if not path.exists():
                raise base.missing_data_error(self.spec, raw, f"{path} not found", path)
        slices = _listed(self.spec, raw, SLICES, "data/slices", r"(patient\d+)_frame\d+_slice_\d+")
        patients = list(dict.fromkeys(sample.source for sample in slices))
        most = len(patients) - (self.label_fraction < 1)
        labeled = patients[: min(max(1, round(self.label_fraction * len(patients))), most)]
        parts = {
            "labeled": [s for s in slices if s.source in labeled],
            "train": [s for s in slices if s.source not in labeled],
        }
        for part, name in VOLUMES.items():
            parts[part] = _listed(self.spec, raw, name, "data", r"(patient\d+)_frame\d+")
        return {part: sorted(samples, key=lambda s: s.name) for part, samples in parts.items()}

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[h, w, 1]`, label uint8 `[h, w]` in 0..3; of volumes `[d, h, w, …]`.

        0..1 of the file becomes 0..255, rounded; what lies outside is clipped.
        """
        assert sample.image
        path, stack = sample.image, "slice" not in sample.image.stem
        image, label = image_io.read_h5(path)
        if image.shape != label.shape or image.ndim != 2 + stack or not image.size:
            axes = "d, h, w" if stack else "h, w"
            raise file_error(
                path,
                f"image {image.shape} and label {label.shape}, expected both [{axes}]; replace the file",
                ErrorCode.WRONG_TYPE,
            )
        if not np.isfinite(image).all():
            raise file_error(
                path,
                "image with values that are no numbers, expected 0..1; replace the file",
                ErrorCode.OUT_OF_RANGE,
            )
        for value in np.setdiff1d(label, range(self.spec.outputs)):
            raise file_error(
                path,
                f"label {value} is no class; expected 0..{self.spec.outputs - 1}, correct the label "
                "or remove the file from its list",
                ErrorCode.OUT_OF_RANGE,
            )
        return np.clip(np.round(255 * image), 0, 255).astype(np.uint8)[..., None], label.astype(np.uint8)


def _listed(spec: DatasetSpec, raw: Path, name: str, folder: str, pattern: str) -> list[Sample]:
    """One sample per line of a list, in its order; the first group of the pattern is the patient."""
    samples = {}
    for number, line in enumerate((raw / name).read_text().splitlines(), start=1):
        stem = line.strip()
        if not stem:
            continue
        match, path = re.fullmatch(pattern, stem), raw / folder / f"{stem}.h5"
        if not match:
            raise UserError(
                f"{raw / name} line {number}: {stem!r}, expected a name as {pattern}; correct the line",
                code=ErrorCode.MALFORMED,
                field=raw / name,
            )
        if not path.is_file():
            raise UserError(
                f"{raw / name} line {number}: {path} not found; put it back or remove the line",
                code=ErrorCode.MISSING,
                field=path,
            )
        volume, _, index = stem.partition("_slice_")
        title = base.slice_name(volume, int(index)) if index else volume
        samples[title] = Sample(title, match[1], path)
    if not samples:
        raise base.missing_data_error(spec, raw, f"{raw / name} lists no file", raw / name)
    return list(samples.values())
