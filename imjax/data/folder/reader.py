"""A user's own folder: `images/*` and, for some, `masks/*` of the same stem. docs/how-to/own_data.md."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from imjax.data import image_meaning, nodata, palette
from imjax.data.folder import labelme
from imjax.data.folder.files import IMAGES, MASKS, Files, find_files
from imjax.data.folder.mask_file import read_mask
from imjax.data.folder.mask_meaning import MaskMeaning, decide_meaning, decode_mask
from imjax.data.folder.tables import (
    CHANNELS,
    CLASSES,
    SPLIT_TABLE,
    ClassTable,
    Complain,
    read_channels,
    read_classes,
    read_splits,
)
from imjax.data.image_file import ImageEvidence
from imjax.data.image_meaning import ImageChoices, ImageReading, LoadedImage
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import VOID, DatasetSpec
from imjax.data.splits import SPLITS
from imjax.errors import ErrorCode, UserError, file_error
from imjax.evaluation.object_numbers import renumber
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
DEFAULT_CHOICES = ImageChoices()
DETECTION_SHARE = 0.001
"""Of every label; small, since nothing is known about the objects."""

Parts = dict[str, list[Sample]]


class Folder:
    """Reader of a folder of one's own.

    Its labels are known once it has been scanned: `spec` is `SPEC` before, and then what the masks tell. They
    are read for that when it is first asked for. Images without a mask have labels that are VOID everywhere.
    """

    def __init__(
        self,
        label_kind: str = "auto",
        rotation_invariant: bool = True,
        choices: ImageChoices = DEFAULT_CHOICES,
    ) -> None:
        """`label_kind` and `rotation_invariant` as in `Data`; `choices` say how images are read."""
        self._label_kind, self._rotation_invariant = label_kind, rotation_invariant
        self._choices, self._raw = choices, Path()
        self._reading: ImageReading | None = None
        self.evidence: dict[Path, ImageEvidence] = {}
        """What the headers of the images say, once `read_images` has looked at them."""
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
            logger.info("masks: %s; read as %s", meaning.evidence, meaning.describe())
            for note in meaning.notes:
                logger.warning("%s: %s", self._raw, note)
        return _spec(self._raw, self.meaning, self.reading, self._rotation_invariant)

    @property
    def reading(self) -> ImageReading:
        """How images are read, found out when it is first asked for; UserError where that cannot be said."""
        if self._reading is None:
            problems: list[UserError] = []
            reading = self.read_images(problems.append)
            self._raise(problems)
            assert reading is not None, "nothing is decided only after a complaint"
            logger.info("images: %s", self.describe_images())
        assert self._reading is not None
        return self._reading

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
        self._raw, self._meaning, self._reading = raw, None, None
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

    def read_images(self, complain: Complain) -> ImageReading | None:
        """Look at the images of the scanned folder; None where they do not tell how they are to be read."""
        found = image_meaning.inspect_images(self.files.images.values(), complain)
        self.evidence = {each.path: each for each in found}
        before: list[UserError] = []
        table = read_channels(self._raw / CHANNELS, before.append)
        for problem in before:
            complain(problem)
        if not before:
            self._reading = image_meaning.decide_reading(
                self._raw / IMAGES, found, self._choices, table, complain
            )
        return self._reading

    def describe_images(self) -> str:
        """What `reading` decided, in one sentence with the evidence."""
        return image_meaning.describe_reading(self.reading, list(self.evidence.values()))

    def load_image(self, sample: Sample) -> LoadedImage:
        """The image of a sample; UserError as of `ImageReading.load`."""
        assert sample.image
        return self.reading.load(sample.image)

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[h, w, c]`; label of the masks' kind.

        The label is VOID where an image has no data. Of a stack that is read as slices both have an axis
        before these, and the mask holds for each slice.
        """
        image, void = self.load_image(sample)
        return image, nodata.mark_void(self.load_label(sample, image), void)

    def load_label(self, sample: Sample, image: np.ndarray) -> np.ndarray:
        """The label of a sample, of the size of its image as `load_image` gives it."""
        assert sample.image
        spec = self.spec
        planes = (spec.outputs,) if spec.kind == "multilabel" else ()
        if not sample.mask:
            return np.full((*image.shape[:-1], *planes), VOID, np.uint8)
        plane = image[0] if image.ndim == 4 else image
        labels = []
        for path in self.files.masks[sample.name]:
            if self.meaning.shapes is not None:
                labels.append(labelme.paint(path, plane.shape[:2], self.meaning.shapes, int(spec.reserved)))
                continue
            mask = read_mask(path)
            self._check_same_size(plane, mask.pixels, sample.image, path)
            labels.append(decode_mask(mask, path, self.meaning))
        label = np.stack(labels, axis=-1) if spec.kind == "multilabel" else labels[0]
        return np.repeat(label[None], len(image), 0) if image.ndim == 4 else label

    @property
    def has_instances(self) -> bool:
        """See `base.InstanceReader`: masks of numbered objects (`label_kind` binary)."""
        return self._meaning is not None and self._meaning.numbered

    def load_instances(self, sample: Sample) -> np.ndarray:
        """See `base.InstanceReader`."""
        return renumber(read_mask(self.files.masks[sample.name][0]).pixels).astype(np.uint16)

    def _check_same_size(self, image: np.ndarray, mask: np.ndarray, path: Path, mask_path: Path) -> None:
        """UserError naming both files when height or width differ, with the orientation if that is why."""
        evidence = self.evidence.get(path)
        exchanged = mask.shape[:2] == image.shape[1::-1] != image.shape[:2]
        if evidence is not None and evidence.orientation > 4 and exchanged:
            applied = self._choices.orientation == "apply"
            raise UserError(
                f"{mask_path}: mask has its image's height and width exchanged; the image was "
                f"{'turned upright by' if applied else 'left as stored in spite of'} the orientation in its "
                f"file. If masks are drawn on images as {'stored' if applied else 'shown by viewers'}, set "
                f"data.orientation={'ignore' if applied else 'apply'}",
                code=ErrorCode.CONFLICT,
                field=str(mask_path),
            )
        base.check_same_size(image, mask, Sample("", "", path, mask_path))

    def _sample(self, stem: str) -> Sample:
        """A sample; `classes.csv` is a file of its truth, so that a change of it is a change of the data."""
        masks = self.files.masks.get(stem, ())
        more = (*masks[1:], self._raw / CLASSES) if masks and self._table else masks[1:]
        if (self._raw / CHANNELS).is_file():
            more = (*more, self._raw / CHANNELS)
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


def _spec(raw: Path, meaning: MaskMeaning, reading: ImageReading, rotation_invariant: bool) -> DatasetSpec:
    folder = raw.resolve().name
    make_spec = functools.partial(
        DatasetSpec,
        # The folder's own name, so that a report tells the sets of two folders apart.
        name="folder_" + re.sub(r"\W+", "_", folder),
        title=folder,
        kind=meaning.kind,
        channels=len(reading.used),
        channel_names=reading.used_names,
        file_channels=reading.names,
        value_limits=reading.limits,
        volumes=reading.choices.pages == "slices",
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
