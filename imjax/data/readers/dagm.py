"""DAGM 2007: defects on textured surfaces, ten kinds of texture, 512x512, gray (Wieler & Hahn 2007).

Each kind of texture has a kind of defect of its own, which is a class of its own, as in the released code of
simEps and UAPS: that one has the first six.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from imjax.data import image_io, palette
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, file_error

TRAIN, TEST = "Train", "Test"
KINDS = 10

SPEC = DatasetSpec(
    name="dagm",
    title="DAGM 2007",
    kind="multiclass",
    classes=("background", *(f"defect {kind}" for kind in range(1, KINDS + 1))),
    palette=(palette.BACKGROUND, *palette.object_colors(KINDS)),
    channels=1,
    background=True,
    rotation_invariant=True,
    selection_metric="hard_miou",
    primary_metric="miou",
    source="https://hci.iwr.uni-heidelberg.de/content/weakly-supervised-learning-industrial-optical-inspection",
    layout="\n".join(
        f"Class<k>/{part}/<name>.PNG  Class<k>/{part}/Label/<name>_label.PNG (of defective images)"
        for part in (TRAIN, TEST)
    ),
)


@dataclasses.dataclass(frozen=True)
class Dagm:
    """Reader of the folders `Class<k>`, as many as there are; an image without a label has no defect.

    Where no folder `Test` is there, `Train` is one pool.
    """

    spec: DatasetSpec = SPEC

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """See `raw.Reader`: parts `train_val` and `test`, or `train_val_test`."""
        kinds = sorted(path for path in raw.glob("Class*") if path.is_dir())
        if not kinds:
            raise base.missing_data_error(self.spec, raw, f"no folder Class<k> in {raw}", raw)
        for kind in kinds:
            if kind.name not in {f"Class{number}" for number in range(1, KINDS + 1)}:
                raise file_error(
                    kind,
                    f"{kind.name!r} is no kind of texture; expected Class1 to Class{KINDS}, move it away",
                    ErrorCode.OUT_OF_RANGE,
                )
        tested = any((kind / TEST).is_dir() for kind in kinds)
        parts = {"train_val": TRAIN, "test": TEST} if tested else {"train_val_test": TRAIN}
        for kind in kinds:
            for folder in parts.values():
                if not (kind / folder).is_dir():
                    raise base.missing_data_error(
                        self.spec, raw, f"folder {kind / folder} not found", kind / folder
                    )
        out = {
            part: sorted((s for kind in kinds for s in _samples(kind / folder)), key=lambda s: s.name)
            for part, folder in parts.items()
        }
        for part, samples in out.items():
            if not samples:
                raise base.missing_data_error(self.spec, raw, f"no .PNG in {raw}/Class*/{parts[part]}", raw)
        return out

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[h, w, 1]`, label uint8 `[h, w]`, k = defect of `Class<k>`."""
        assert sample.image
        image = image_io.read_gray(sample.image)
        if sample.mask is None:
            return image[..., None], np.zeros_like(image)
        label = image_io.read_binary(sample.mask)
        base.check_same_size(image, label, sample)
        # The label says where the defect is, the folder which one: Class<k>/Train/0001.PNG.
        number = sample.image.parts[-3].removeprefix("Class")
        return image[..., None], label * np.uint8(number)


def _samples(folder: Path) -> list[Sample]:
    """The images of one kind and part; numbers are used again in other kinds, hence the folders in names."""
    kind, part = folder.parts[-2:]
    images = {path.stem: path for path in _png(folder)}
    labels = {path.stem.removesuffix("_label"): path for path in _png(folder / "Label")}
    for stem in sorted(labels.keys() - images.keys()):
        raise file_error(
            labels[stem],
            f"label without image, expected {folder / (stem + '.PNG')}; add or remove one",
            ErrorCode.MISSING,
        )
    return [
        Sample(name, name, path, labels.get(stem))
        for stem, path in images.items()
        for name in [f"{kind}_{part}_{stem}"]
    ]


def _png(folder: Path) -> list[Path]:
    """Its .PNG files, whatever the case of the ending; none where there is no such folder."""
    return [path for path in folder.iterdir() if path.suffix.lower() == ".png"] if folder.is_dir() else []
