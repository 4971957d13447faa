"""Which images to mask next: those that stand for many whose predicted masks are likely to be bad.

The masks are written in the format of the folder's own, so that a corrected one can be put among them.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from imjax.config.schema import Data
from imjax.data import duplicates, image_io, sample_record
from imjax.data.folder import labelme
from imjax.data.folder.files import IMAGES, MASKS
from imjax.data.folder.mask_file import read_mask
from imjax.data.folder.mask_meaning import MaskMeaning, decode_mask
from imjax.data.folder.mask_writer import MaskFormat, default_formats, learn_formats, write_mask
from imjax.data.folder.reader import Folder
from imjax.data.image_meaning import ImageChoices, group_problems
from imjax.data.palette import paint_labels
from imjax.errors import ErrorCode, UserError, file_error
from imjax.inference import coverage, image_scores, sliding_window, writers
from imjax.inference.load_run import read_record
from imjax.inference.prediction import Prediction, make_prediction
from imjax.inference.trained_model import ENSEMBLE_SIZE, TrainedModel
from imjax.log import logger, track

TABLE, OVERLAYS = "suggestions.csv", "overlay"
COLUMNS = ("file", "score", "agreement", "expected_iou", "mask", "reason")
"""Of suggestions.csv."""
READ = (
    "dataset", "dir", "label_kind", "rotation_invariant", "pages", "alpha", "orientation", "nodata",
    "value_scaling",
)  # fmt: skip
"""Keys of `data` that say how a folder is read."""
MOST_COMPARED = 4000
"""Images, the worst ones, among which is chosen: every two of them are compared."""


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """An image to mask next, and the mask that is to be corrected for it."""

    image: Path
    score: float
    """Estimated IoU of the predicted mask, 0..1: the lower, the more a correct one is worth."""
    mask: Path
    """Predicted, in the format of the folder's masks; multilabel: that of the first label."""
    overlay: Path
    """The image with the predicted mask over it."""
    reason: str
    """For people."""


class Seen(NamedTuple):
    """What is kept of an image that might be suggested."""

    image: Path
    scores: image_scores.ImageScores
    quality: float
    thumbnail: np.ndarray
    """See `duplicates.average_parts`."""
    look: np.ndarray
    """See `coverage.describe_look`."""


class Known(NamedTuple):
    """What is kept of an image that has a mask."""

    thumbnail: np.ndarray
    look: np.ndarray
    is_trained_on: bool
    """Nets learn from it: it is in neither val nor test."""


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Images without a mask, and what is known of those that have one."""

    images: tuple[Path, ...]
    masked: tuple[Path, ...]
    """Images with a mask, near copies of which are not suggested."""
    held_out: frozenset[Path]
    """Those of them that measure nets and do not train them: a look that only they have is not covered."""
    formats: dict[str, MaskFormat]
    may_be_empty: bool
    """Whether a mask of the folder has no object, so that a net that finds none may be right."""


def find_candidates(workdir: Path, model: TrainedModel, images: Path | None) -> Candidates:
    """Images of the run's folder that have no mask, or those of another folder.

    Args:
        workdir: of the run.
        model: its nets.
        images: a folder of images, or of `images` and `masks` as the run's; None: the run's.

    Raises:
        UserError: no such folder, every image has a mask, the folder's masks have other classes than the
            nets, or the run was not on your own folder.
    """
    values = read_record(workdir / "config.json")["config"]["data"]
    # Of other keys a run of another version may have more or fewer.
    own = {name: values[name] for name in READ if name in values}
    data = Data(**own) if values.get("dataset") == "folder" else None
    raw = images if images is not None and (images / IMAGES).is_dir() else Path(data.dir) if data else None
    labels = model.spec.classes[int(model.spec.reserved) :]
    if images is None or raw == images:
        if data is None or raw is None:
            raise UserError(
                f"--workdir={workdir}: a run on a published dataset, whose images have masks; expected one "
                "on a folder of your own, or new images by --images=DIR",
                code=ErrorCode.MISSING,
                field="--images",
            )
        if not (raw / IMAGES).is_dir():
            raise file_error(
                raw, "the folder of the run is not there; name it by --images=DIR", ErrorCode.MISSING
            )
    if data is None or raw is None or not (raw / MASKS).is_dir():
        assert images is not None, "the run's own folder has masks"
        colors = model.spec.palette[int(model.spec.reserved) :]
        formats = default_formats(model.spec.kind, labels, colors)
        return Candidates(tuple(image_io.find_images(images)), (), frozenset(), formats, False)
    reader = Folder(data.label_kind, data.rotation_invariant, ImageChoices.of(data))
    reader.scan(raw)
    spec = reader.spec
    if (spec.kind, spec.classes) != (model.spec.kind, model.spec.classes):
        raise file_error(
            raw / MASKS,
            f"masks of {spec.kind} {', '.join(spec.classes)}, but the nets learned {model.spec.kind} "
            f"{', '.join(model.spec.classes)}; train again, and ask that run",
            ErrorCode.CONFLICT,
        )
    files = reader.files
    bare = tuple(path for stem, path in files.images.items() if stem not in files.masks)
    chosen = bare if images is None or raw == images else tuple(image_io.find_images(images))
    if not chosen:
        raise file_error(
            raw / IMAGES,
            "every image has a mask; add images, or name a folder of new ones by --images=DIR",
            ErrorCode.MISSING,
        )
    masked = tuple(files.images[stem] for stem in files.masks)
    splits = _read_splits(workdir)
    held_out = frozenset(files.images[stem] for stem in files.masks if splits.get(stem) in ("val", "test"))
    return Candidates(chosen, masked, held_out, learn_formats(files, reader.meaning), _has_empty(reader))


def suggest_images(
    workdir: Path, model: TrainedModel, images: Path | None, count: int, out: Path
) -> list[Suggestion]:
    """Choose images, and write their predicted masks, overlays and a table.

    Args:
        workdir: of the run.
        model: its nets.
        images: see `find_candidates`.
        count: suggestions, at least 1; fewer where there are not so many unlike images.
        out: folder for `masks`, `overlay` and `suggestions.csv`; what an earlier call wrote there is
            replaced.

    Returns:
        The worst first.

    Raises:
        UserError: as of `find_candidates`; `out` holds masks that were changed since, or anything else.
    """
    if count < 1:
        raise UserError(f"--count={count}: expected 1 or more", code=ErrorCode.OUT_OF_RANGE, field="--count")
    candidates = find_candidates(workdir, model, images)
    _check_out(out, candidates)
    logger.info("%d images without a mask; looking for the %d worst", len(candidates.images), count)
    seen = list(_look(model, candidates))
    chosen = choose_images(seen, list(_describe_masked(model, candidates)), count)
    _clear(out)
    suggestions, rows = [], []
    for one, (pixels, prediction) in zip(chosen, _predict(model, [one.image for one in chosen]), strict=True):
        suggestion = _write(out, candidates.formats, one, pixels, prediction)
        suggestions.append(suggestion)
        rows.append(_make_row(one, suggestion))
    writers.write_table(out / TABLE, rows, COLUMNS)
    return suggestions


def choose_images(seen: Sequence[Seen], known: Sequence[Known], count: int) -> list[Seen]:
    """Choose images that stand for many bad ones and look unlike what is trained on, the worst first.

    Near copies of each other, or of images that have a mask, are left out; of the rest see
    `coverage.choose_covering`.

    Args:
        seen: images that might be suggested.
        known: images that have a mask.
        count: how many to choose at most.
    """
    if not seen:
        return []
    ordered = sorted(seen, key=lambda one: (one.quality, one.image.name))
    arrays = np.stack([*(one.thumbnail for one in known), *(one.thumbnail for one in ordered)])
    groups = duplicates.merge_groups(len(arrays), duplicates.find_alike(arrays))
    taken, pool = set(groups[: len(known)]), []
    for one, group in zip(ordered, groups[len(known) :], strict=True):
        if group not in taken:
            taken.add(group)
            pool.append(one)
    pool = pool[:MOST_COMPARED]
    chosen = coverage.choose_covering(
        need=np.array([1 - one.quality for one in pool]),
        looks=np.array([one.look for one in pool]),
        known=[one.look for one in known if one.is_trained_on],
        count=count,
    )
    return [pool[i] for i in sorted(chosen)]


def _look(model: TrainedModel, candidates: Candidates) -> Iterator[Seen]:
    """Score every image; those that cannot be read are left out, with a warning."""
    problems: list[UserError] = []
    readable = []

    def images() -> Iterator[np.ndarray]:
        for path in track(list(candidates.images), "looking at images"):
            try:
                pixels = _load(model, path)
            except UserError as error:
                problems.append(error)
                continue
            readable.append((path, *_describe(pixels)))
            yield pixels

    for i, (_, canvas) in enumerate(_probabilities(model, images())):
        path, thumbnail, look = readable[i]
        scores = image_scores.score_image(model.spec, canvas)
        quality = image_scores.estimate_quality(model.spec, canvas)
        if np.isnan(scores.agreement) and not candidates.may_be_empty:
            quality = 0.0
        yield Seen(path, scores, quality, thumbnail, look)
    if problems and not readable:
        raise group_problems(problems)[0]
    for problem in group_problems(problems):
        logger.warning("left out: %s", problem)


def _probabilities(
    model: TrainedModel, images: Iterator[np.ndarray]
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Size and probabilities of each net; of a single net those of its mirrored (and turned) views."""
    nets = model.choose_nets(0)
    tiler = model.make_tiler()
    if nets > 1:
        yield from model.predict_probabilities(images, tiler, nets)
        return
    views = sliding_window.symmetries(model.spec, model.size)[:ENSEMBLE_SIZE]
    streams = [
        model.predict_probabilities(copy, dataclasses.replace(tiler, symmetries=(view,)), 1)
        for view, copy in zip(views, itertools.tee(images, len(views)), strict=True)
    ]
    for found in zip(*streams, strict=True):
        yield found[0][0], np.concatenate([canvas for _, canvas in found])


def _predict(model: TrainedModel, paths: Sequence[Path]) -> Iterator[tuple[np.ndarray, Prediction]]:
    pixels = [_load(model, path) for path in paths]
    for image, (size, canvas) in zip(pixels, _probabilities(model, iter(pixels)), strict=True):
        yield image, make_prediction(model.spec, model.mask, canvas, size, len(canvas))


def _load(model: TrainedModel, path: Path) -> np.ndarray:
    """uint8 `[h, w, c]`; UserError where it cannot be read, or is a stack."""
    pixels = model.reading.load(path).pixels
    if pixels.ndim == 4:
        raise file_error(
            path,
            f"a stack of {len(pixels)} slices, expected an image for each of them",
            ErrorCode.UNSUPPORTED,
        )
    return pixels


def _describe(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thumbnail and look of an image, as in `Seen`."""
    gray = pixels.mean(-1).astype(np.float32)
    return duplicates.average_parts(gray), coverage.describe_look(pixels)


def _describe_masked(model: TrainedModel, candidates: Candidates) -> Iterator[Known]:
    """Of images that have a mask, those that can be read."""
    for path in candidates.masked:
        try:
            pixels = _load(model, path)
        except UserError:
            continue
        yield Known(*_describe(pixels), path not in candidates.held_out)


def _read_splits(workdir: Path) -> dict[str, str]:
    """Split by sample of the run; masks made since then are in none."""
    if not (workdir / sample_record.FILE).is_file():
        return {}
    return {name: record["split"] for name, record in sample_record.read_records(workdir).items()}


def _has_empty(reader: Folder) -> bool:
    """Whether one of the masks has no object; classes that fill an image are all objects."""
    meaning = reader.meaning
    if meaning.kind == "multiclass":
        return False
    return any(all(_is_empty(path, meaning) for path in paths) for paths in reader.files.masks.values())


def _is_empty(path: Path, meaning: MaskMeaning) -> bool:
    if meaning.shapes is not None:
        return not labelme.read_outlines(path).shapes
    return not (decode_mask(read_mask(path), path, meaning) == 1).any()


def _check_out(out: Path, candidates: Candidates) -> None:
    """UserError where the folder holds what no call has written, or masks that somebody is correcting."""
    table = out / TABLE
    present = [path for name in (MASKS, OVERLAYS) for path in (out / name).rglob("*") if path.is_file()]
    if present and not table.is_file():
        raise UserError(
            f"--out={out}: {present[0].relative_to(out).as_posix()} was there before and is no suggestion; "
            "expected a new or empty folder, name another one",
            code=ErrorCode.CONFLICT,
            field="--out",
        )
    # The table is written last. A mask that has been copied to the folder's own is no loss.
    taken = {path.stem for path in candidates.masked}
    stems = _list_suggested(table) - taken
    for path in present:
        is_open = any(stem in path.stem for stem in stems)
        if is_open and path.stat().st_mtime_ns > table.stat().st_mtime_ns:
            raise UserError(
                f"--out={out}: {path.relative_to(out).as_posix()} was changed after it was suggested; move "
                "it to the folder's masks first, or name another --out",
                code=ErrorCode.CONFLICT,
                field="--out",
            )


def _list_suggested(table: Path) -> set[str]:
    """Stems of the images in an earlier table."""
    if not table.is_file():
        return set()
    with table.open(newline="", encoding="utf-8") as file:
        return {Path(row.get("file") or "").stem for row in csv.DictReader(file)} - {""}


def _clear(out: Path) -> None:
    """Remove what an earlier call wrote: the table last."""
    try:
        for name in (MASKS, OVERLAYS):
            for path in (out / name).rglob("*"):
                if path.is_file():
                    path.unlink()
        (out / TABLE).unlink(missing_ok=True)
    except OSError as error:
        raise file_error(out, f"cannot be replaced: {error.strerror}", ErrorCode.UNWRITABLE) from error


def _write(
    out: Path, formats: dict[str, MaskFormat], one: Seen, pixels: np.ndarray, prediction: Prediction
) -> Suggestion:
    spec, stem = prediction.spec, one.image.stem
    # Of a folder's classes output 0 is the inconsistent one, as in the labels that its masks become.
    label = prediction.output if spec.reserved or spec.kind != "multiclass" else prediction.output + 1
    paths = write_mask(out / MASKS, stem, label, formats)
    picture = writers.overlay(spec, pixels, prediction.output, paint_labels(spec, prediction.output))
    overlay = out / OVERLAYS / f"{stem}.png"
    try:
        overlay.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(overlay)
    except OSError as error:
        raise file_error(overlay, f"cannot be written: {error.strerror}", ErrorCode.UNWRITABLE) from error
    return Suggestion(one.image, one.quality, paths[0], overlay, _reason(one))


def _reason(one: Seen) -> str:
    if np.isnan(one.scores.agreement):
        return "nothing is found in it"
    return f"the nets agree on {one.scores.agreement:.0%} of what any of them marks"


def _make_row(one: Seen, suggestion: Suggestion) -> dict[str, Any]:
    return {
        "file": one.image.name, "score": round(one.quality, 4), "agreement": _round(one.scores.agreement),
        "expected_iou": _round(one.scores.expected_iou), "mask": suggestion.mask.name,
        "reason": suggestion.reason,
    }  # fmt: skip


def _round(value: float) -> float | str:
    """A cell of the table; empty where there is no value."""
    return "" if np.isnan(value) else round(value, 4)
