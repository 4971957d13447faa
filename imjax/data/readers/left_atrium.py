"""LA: the left atrium in volumes of magnetic resonance (Xiong et al. 2021, prepared as in UA-MT)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from imjax import rng
from imjax.data import image_io, palette
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError, file_error

FOLDER = "2018LA_Seg_Training Set"
FILE = "mri_norm2.h5"
LISTS = {"train": "train.list", "test": "test.list"}

WINDOW = (-2.0, 6.0)
"""Intensities, in standard deviations, that become gray 0 and 255.

The originals are of 8 bits, so a volume has few values. In the three sample volumes they run from −0.7 to
5.4, the atrium's to 4.6, and lie 0.066 or more apart, that is two gray levels of 8/255 = 0.031: nothing is
clipped there, and no two values become one.
"""

SPEC = DatasetSpec(
    name="la",
    title="LA heart",
    kind="multiclass",
    classes=("background", "atrium"),
    palette=(palette.BACKGROUND, *palette.object_colors(1)),
    channels=1,
    dims=3,
    background=True,
    rotation_invariant=True,
    selection_metric="hard_miou",
    primary_metric="dice",
    source="https://github.com/yulequan/UA-MT (data)",
    layout="\n".join((f"{FOLDER}/<case>/{FILE}", *LISTS.values())),
)


@dataclasses.dataclass(frozen=True)
class La:
    """Reader of UA-MT's preparation: 80 volumes to train and 20 to test; a source is a case.

    The labeled cases are the first of `train.list`, as SSL4MIS has it: its 8 and 16 labeled cases of 80 are
    `label_fraction` 0.1 and 0.2. There is no part to validate on: val is drawn from the other training cases
    (the benchmark selects on test instead). Both have at least one case, and the rest is unlabeled, which
    may be nothing: of the two training cases of a small sample one is labeled and one is val.
    """

    label_fraction: float = 0.1
    """Share of the training cases that is labeled; at most all but val's."""
    val_fraction: float = 0.1
    """Share of the training cases that is held out for validation."""
    seed: int = 0
    """Of the draw of val."""
    spec: DatasetSpec = SPEC

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """See `raw.Reader`: parts `labeled`, `unlabeled`, `val`, `test`, and a `train` that is empty."""
        for path in (raw / FOLDER, *(raw / name for name in LISTS.values())):
            if not path.exists():
                raise base.missing_data_error(self.spec, raw, f"{path} not found", path)
        cases, test = (_listed(self.spec, raw, name) for name in LISTS.values())
        val = max(1, round(self.val_fraction * len(cases)))
        labeled = min(max(1, round(self.label_fraction * len(cases))), len(cases) - val)
        if labeled < 1:
            raise file_error(
                raw / LISTS["train"],
                f"{len(cases)} cases, of which val_fraction = {self.val_fraction} "
                f"takes {val}; expected at least one more, which is labeled: add cases or lower the fraction",
                ErrorCode.TOO_FEW,
            )
        others = cases[labeled:]
        drawn = rng.numpy(self.seed, "split/val").permutation(len(others))[:val]
        held = {others[i].name for i in drawn}
        parts = {
            "labeled": cases[:labeled],
            "unlabeled": [case for case in others if case.name not in held],
            "val": [case for case in others if case.name in held],
            "test": test,
            "train": [],
        }
        return {part: sorted(samples, key=lambda s: s.name) for part, samples in parts.items()}

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[d, h, w, 1]`, label uint8 `[d, h, w]` in 0, 1.

        The file's `[h, w, d]` is turned to `[d, h, w]`, and `WINDOW` becomes 0..255, rounded; what lies
        outside is clipped.
        """
        assert sample.image
        image, label = image_io.read_h5(sample.image)
        if image.shape != label.shape or image.ndim != 3 or not image.size:
            raise file_error(
                sample.image,
                f"image {image.shape} and label {label.shape}, expected both [h, w, d]; replace the file",
                ErrorCode.WRONG_TYPE,
            )
        if not np.isfinite(image).all():
            raise file_error(
                sample.image,
                "image with values that are no numbers, expected intensities of mean 0 and "
                "variance 1; replace the file",
                ErrorCode.OUT_OF_RANGE,
            )
        for value in np.setdiff1d(label, range(self.spec.outputs)):
            raise file_error(
                sample.image,
                f"label {value} is no class; expected 0 or 1, correct the label or remove "
                "the case from its list",
                ErrorCode.OUT_OF_RANGE,
            )
        low, high = WINDOW
        gray = np.clip(np.round(255 * (image - low) / (high - low)), 0, 255).astype(np.uint8)
        return np.moveaxis(gray, -1, 0)[..., None], np.moveaxis(label, -1, 0).astype(np.uint8)


def _listed(spec: DatasetSpec, raw: Path, name: str) -> list[Sample]:
    """One sample per line of a list, in its order."""
    samples = {}
    for number, line in enumerate((raw / name).read_text().splitlines(), start=1):
        case = line.strip()
        if not case:
            continue
        path = raw / FOLDER / case / FILE
        if not path.is_file():
            raise UserError(
                f"{raw / name} line {number}: {path} not found; put it back or remove the line",
                code=ErrorCode.MISSING,
                field=path,
            )
        samples[case] = Sample(case, case, path)
    if not samples:
        raise base.missing_data_error(spec, raw, f"{raw / name} lists no case", raw / name)
    return list(samples.values())
