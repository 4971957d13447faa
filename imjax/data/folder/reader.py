"""A user's own folder: `images/*` and, for some, `masks/*` of the same stem. docs/how-to/own_data.md."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from imjax.data import image_io, palette
from imjax.data.folder import labelme
from imjax.data.folder.files import IMAGES, MASKS, Files, find_files
from imjax.data.folder.mask_file import read_mask
from imjax.data.folder.mask_meaning import MaskMeaning, decide_meaning, decode_mask
from imjax.data.folder.tables import (
    CLASSES,
    SPLIT_TABLE,
    ClassTable,
    Complain,
    read_classes,
    read_splits,
)
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import VOID, DatasetSpec
from imjax.data.splits import SPLITS
from imjax.errors import ErrorCode, UserError, file_error
from imjax.log import logger

SPEC = DatasetSpec(
    name="folder",
    title="a folder of your own",
    kind="binary",
    classes=("foreground",),
    palette=palette.object_colors(1),
    rotation_invariant=True,
    label_resize="bilinear",
    selection_metric="hard_iou",
    primary_metric="iou",
    source="your own images",
    layout=f"{IMAGES}/<stem>.png  {MASKS}/<stem>.png, for some of them",
)
"""What can be said before the data are seen: one class, with the size of nets that goes with it."""

INCONSISTENT = (128, 128, 128)
DETECTION_SHARE = 0.001
"""Of every label; small, since nothing is known about the objects."""

Parts = dict[str, list[Sample]]


class Folder:
    """Reader of a folder of one's own.

    Its labels are known once it has been scanned: `spec` is `SPEC` before, and then what the masks tell. They
    are read for that when it is first asked for. Images without a mask have labels that are VOID everywhere.
    """

    def __init__(self, label_kind: str = "auto", rotation_invariant: bool = True) -> None:
        """`label_kind` and `rotation_invariant` as in `Data`."""
        self._label_kind, self._rotation_invariant = label_kind, rotation_invariant
        self._raw = Path()
        self._files: Files | None = None
        self._table: ClassTable | None = None
        self._meaning: MaskMeaning | None = None

    @property
    def spec(self) -> DatasetSpec:
        """What the labels mean.

        Raises:
            UserError: masks that cannot be read, or whose kind is unclear.
        """
        if self._files is None:
            return SPEC
        if self._meaning is None:
            problems: list[UserError] = []
            meaning = self.decide_meaning(problems.append)
            self._raise(problems)
            assert meaning is not None, "a meaning that is not found is complained about"
            logger.info("%s: %s; %s", self._raw, meaning.describe(), meaning.evidence)
            for note in meaning.notes:
                logger.warning("%s: %s", self._raw, note)
        return _spec(self._raw, self.meaning, self._rotation_invariant)

    @property
    def meaning(self) -> MaskMeaning:
        """How masks are read, once `spec` or `decide_meaning` has found out."""
        assert self._meaning is not None
        return self._meaning

    @property
    def files(self) -> Files:
        """What the scan has found."""
        assert self._files is not None
        return self._files

    def scan(self, raw: Path) -> Parts:
        """See `raw.Reader`.

        Without `splits.csv` the images with masks are one pool (`train_val_test`), the others `unlabeled`.
        With it, listed images go where it says (to be `unlabeled`, an image may have a mask, which then
        serves to measure pseudo-labels), and of those not listed, the ones with a mask are labeled ones.

        Raises:
            UserError: the first problem there is, and how to see all of them.
        """
        problems: list[UserError] = []
        parts = self.survey(raw, problems.append)
        self._raise(problems)
        for note in self.files.notes:
            logger.warning("%s", note)
        return parts

    def survey(self, raw: Path, complain: Complain) -> Parts:
        """`scan`, with every problem handed to `complain` and left out of the result."""
        self._raw, self._meaning = raw, None
        self._files = find_files(raw, complain)
        self._table = read_classes(raw / CLASSES, complain)
        chosen = read_splits(raw / SPLIT_TABLE, self._files.images, complain)
        samples = {stem: self._sample(stem) for stem in self._files.images}
        if chosen is None:
            pool = [sample for sample in samples.values() if sample.mask]
            return {"train_val_test": pool, "unlabeled": [s for s in samples.values() if not s.mask]}
        return _chosen(raw / SPLIT_TABLE, samples, chosen, complain)

    def decide_meaning(self, complain: Complain) -> MaskMeaning | None:
        """Look at the masks of the scanned folder; None where they do not tell what they are."""
        self._meaning = decide_meaning(self._raw, self.files, self._table, self._label_kind, complain)
        return self._meaning

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[h, w, 3]` RGB (`raw.read_photo`); label of the masks' kind."""
        image = self.load_image(sample)
        return image, self.load_label(sample, image)

    def load_label(self, sample: Sample, image: np.ndarray) -> np.ndarray:
        """The label of a sample, of the size of its image."""
        assert sample.image
        spec = self.spec
        if not sample.mask:
            planes = (spec.outputs,) if spec.kind == "multilabel" else ()
            return np.full((*image.shape[:2], *planes), VOID, np.uint8)
        labels = []
        for path in self.files.masks[sample.name]:
            if self.meaning.shapes is not None:
                return labelme.paint(path, image.shape[:2], self.meaning.shapes, int(spec.reserved))
            mask = read_mask(path)
            base.check_same_size(image, mask.pixels, Sample(sample.name, sample.name, sample.image, path))
            labels.append(decode_mask(mask, path, self.meaning))
        return np.stack(labels, axis=-1) if spec.kind == "multilabel" else labels[0]

    def load_image(self, sample: Sample) -> np.ndarray:
        """The image of `load`, for which it does not matter what masks mean."""
        assert sample.image
        return image_io.read_photo(sample.image)

    def _sample(self, stem: str) -> Sample:
        """A sample; `classes.csv` is a file of its truth, so that a change of it is a change of the data."""
        masks = self.files.masks.get(stem, ())
        more = (*masks[1:], self._raw / CLASSES) if masks and self._table else masks[1:]
        return Sample(stem, stem, self.files.images[stem], masks[0] if masks else None, more)

    def _raise(self, problems: list[UserError]) -> None:
        if problems:
            command = f"python -m imjax.prepare --dataset=folder --raw={self._raw} --check"
            more = f" ({len(problems)} problems; all of them: {command})" if len(problems) > 1 else ""
            first = problems[0]
            raise UserError(f"{first}{more}", code=first.code, field=first.field)


def _chosen(path: Path, samples: dict[str, Sample], chosen: dict[str, str], complain: Complain) -> Parts:
    """Parts as `splits.csv` has them, for `splits.split_parts`: `train` is empty, as nothing is drawn."""
    parts: Parts = {name: [] for name in (*SPLITS, "train")}
    for stem, sample in samples.items():
        split = chosen.get(stem, "labeled" if sample.mask else "unlabeled")
        if split != "unlabeled" and not sample.mask:
            complain(
                file_error(
                    path,
                    f"{stem!r} is in {split}, expected a mask for it; add one or make it unlabeled",
                    ErrorCode.MISSING,
                )
            )
        else:
            parts[split].append(sample)
    for split in ("labeled", "val", "test"):
        if not parts[split]:
            complain(
                file_error(
                    path,
                    f"no image in {split}, expected at least one; list some with a mask",
                    ErrorCode.TOO_FEW,
                )
            )
    _say_unlisted(path, [stem for stem, sample in samples.items() if sample.mask and stem not in chosen])
    return parts


def _say_unlisted(path: Path, stems: Iterable[str]) -> None:
    if names := list(stems):
        logger.info("%s: %d images with a mask are not listed and count as labeled", path, len(names))


def _spec(raw: Path, meaning: MaskMeaning, rotation_invariant: bool) -> DatasetSpec:
    folder = raw.resolve().name
    make_spec = functools.partial(
        DatasetSpec,
        # The folder's own name, so that a report tells the sets of two folders apart.
        name="folder_" + re.sub(r"\W+", "_", folder),
        title=folder,
        kind=meaning.kind,
        rotation_invariant=rotation_invariant,
        source=SPEC.source,
        layout=SPEC.layout,
    )
    if meaning.kind == "binary":
        return make_spec(
            classes=meaning.names,
            palette=meaning.palette,
            selection_metric="hard_iou",
            primary_metric="iou",
            label_resize="bilinear",
        )
    if meaning.kind == "multilabel":
        return make_spec(
            classes=meaning.names,
            palette=meaning.palette,
            selection_metric="loss",
            primary_metric="miou",
            detection_shares=(DETECTION_SHARE,) * len(meaning.names),
        )
    return make_spec(
        classes=("inconsistent", *meaning.names),
        palette=(INCONSISTENT, *meaning.palette),
        reserved=True,
        selection_metric="soft_miou",
        primary_metric="miou",
    )
