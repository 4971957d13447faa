"""What the image files of a set hold, decided in one place for all of them: check, packing and prediction.

Each file's evidence (`image_file`) is gathered once. What it leaves open (what the pages of a stack are,
which value means no data) is never guessed: it is refused with the choices, and a key of `config.data` says
it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from imjax.config.schema import Data
from imjax.data import image_io, intensity, nodata
from imjax.data.image_file import ImageEvidence, inspect_image, read_stored, turn
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError, file_error
from imjax.log import track

RGB: tuple[str, ...] = ("red", "green", "blue")
GRAY: tuple[str, ...] = ("gray",)
SAMPLED = 4096
"""Pixels of an image that stand for it where values are scaled over the whole set, evenly spaced."""
HUGE = 1e300
"""From here on the difference of two values may have no number."""
PAGE_CHOICES = (
    "data.pages=channels (each page a channel), slices (each an image; a mask holds for all of them), max or "
    "mean (their projection)"
)

PAGES_READ = {
    "channels": "a channel each", "slices": "an image each, and a mask holds for all",
    "max": "read as their maximum", "mean": "read as their mean",
}  # fmt: skip

Complain = Callable[[UserError], None]


@dataclasses.dataclass(frozen=True)
class ImageChoices:
    """The keys of `config.data` that say how images are read; see `Data`."""

    pages: str = "auto"
    alpha: str = "drop"
    orientation: str = "apply"
    nodata: str = "auto"
    value_scaling: str = "image"

    @classmethod
    def of(cls, data: Data) -> ImageChoices:
        """The choices in a configuration."""
        return cls(data.pages, data.alpha, data.orientation, data.nodata, data.value_scaling)

    def count_channels(self, evidence: ImageEvidence) -> int:
        """Channels that a file has by these choices."""
        channels = evidence.channels + (self.alpha == "channel" and bool(evidence.alpha))
        return channels * (evidence.pages if self.pages == "channels" else 1)

    def void_value(self, evidence: ImageEvidence) -> float | None:
        """The value of a file's pixels without data, beside NaN; None: there is none."""
        if self.nodata == "auto":
            return evidence.nodata
        return None if self.nodata == "none" else float(self.nodata)


class LoadedImage(NamedTuple):
    """An image as nets take it."""

    pixels: np.ndarray
    """uint8 `[h, w, c]`; of a stack that is read as slices `[d, h, w, c]`."""
    void: np.ndarray
    """bool `[h, w]` or `[d, h, w]`: pixels without data, which are filled."""


@dataclasses.dataclass(frozen=True)
class ImageReading:
    """How all images of a set are read: the decision."""

    channels: int
    """Of a file."""
    choices: ImageChoices = ImageChoices()
    names: tuple[str, ...] = ()
    """Of the file's channels; empty for nets of published sets: gray and color are turned as they need."""
    used: tuple[int, ...] = ()
    """Channels that images have in the end; empty: all."""
    limits: tuple[tuple[float, float], ...] = ()
    """With `value_scaling` `folder`: what becomes 0 and what 255, by used channel."""

    @classmethod
    def of(cls, spec: DatasetSpec, choices: ImageChoices) -> ImageReading:
        """The reading that nets were trained with."""
        if not spec.file_channels:
            return cls(spec.channels, choices)
        used = tuple(spec.file_channels.index(name) for name in spec.channel_names)
        return cls(len(spec.file_channels), choices, spec.file_channels, used, spec.value_limits)

    @property
    def used_names(self) -> tuple[str, ...]:
        """Names of the channels of what `load` gives."""
        return tuple(self.names[i] for i in self.used) if self.used else self.names

    def load(self, path: Path) -> LoadedImage:
        """Read an image.

        Raises:
            UserError: as of `read_stored`, or its channels, pages or values are none that the set has.
        """
        values, void, evidence = self._read_values(path)
        filled = nodata.fill_void(values, void)
        if not self.limits:
            return self._match_colors(_scale_image(filled, void), void, evidence)
        low, high = np.array(self.limits, np.float32).T
        return LoadedImage(intensity.scale_to_bytes(filled.astype(np.float32), low, high), void)

    def load_values(self, path: Path) -> np.ndarray:
        """The values of an image before they become 8 bits, with the channels that `load` gives.

        Of the file's own type, `[h, w, c]` or `[d, h, w, c]`, float32 where that is neither uint8 nor uint16;
        raises as `load`.
        """
        values, void, evidence = self._read_values(path)
        filled = nodata.fill_void(values, void)
        plain = filled if filled.dtype in (np.uint8, np.uint16) else filled.astype(np.float32)
        return self._match_colors(plain, void, evidence).pixels

    def sample(self, path: Path) -> np.ndarray:
        """Some pixels of an image, those without data left out, `[n, c]`; raises as `load`."""
        values, void, _ = self._read_values(path)
        pixels = values[~void]
        return pixels[:: max(1, len(pixels) // SAMPLED)].astype(np.float64)

    def find_misfit(self, evidence: ImageEvidence) -> UserError | None:
        """Why a file cannot be read as the others are, by its header; None if it can."""
        choices = self.choices
        if problem := find_open_pages(evidence, choices):
            return problem
        count = choices.count_channels(evidence)
        colors = {count, self.channels} == {1, 3} and (count == 1 or evidence.colors == "rgb")
        if count != self.channels and not (colors and (not self.names or self.names in (RGB, GRAY))):
            names = f" ({', '.join(self.names)})" if self.names else ""
            return file_error(
                evidence.path,
                f"{_count(count, 'channel')}, expected {self.channels}{names} as in training; convert the "
                "images",
                ErrorCode.CONFLICT,
            )
        if self.limits and evidence.dtype == "uint8":
            return file_error(
                evidence.path,
                "8-bit values, expected the range of the training images (data.value_scaling=folder); save "
                "the images with the depth of those",
                ErrorCode.CONFLICT,
            )
        return None

    def _read_values(self, path: Path) -> tuple[np.ndarray, np.ndarray, ImageEvidence]:
        """Values of the used channels as stored, upright, `[h, w, c]` or `[d, h, w, c]`; which are void."""
        pixels, evidence = read_stored(path)
        if problem := self.find_misfit(evidence):
            raise problem
        if self.choices.orientation == "apply":
            pixels = turn(pixels, evidence.orientation)
        if self.choices.alpha == "drop":
            pixels = pixels[..., : evidence.channels]
        if self.choices.pages == "channels" and len(pixels) > 1:
            pixels = np.moveaxis(pixels, 0, -2).reshape(1, *pixels.shape[1:3], -1)
        if self.used and pixels.shape[-1] == self.channels:
            pixels = pixels[..., self.used]
        void = nodata.find_void(pixels, self.choices.void_value(evidence))
        _check_values(pixels, void, path, self.choices)
        if len(pixels) > 1 and self.choices.pages in ("max", "mean"):
            return *_project(pixels, void, self.choices.pages), evidence
        return (pixels, void, evidence) if len(pixels) > 1 else (pixels[0], void[0], evidence)

    def _match_colors(self, pixels: np.ndarray, void: np.ndarray, evidence: ImageEvidence) -> LoadedImage:
        """Gray as color, or color as gray, where the set has the other."""
        if self.channels == 3 and evidence.channels == 1 and pixels.shape[-1] == 1:
            return LoadedImage(np.repeat(pixels, len(self.used) or 3, -1), void)
        if self.channels > 1 or pixels.shape[-1] == 1:
            return LoadedImage(pixels, void)
        if self.names:
            if (pixels != pixels[..., :1]).any():
                raise file_error(
                    evidence.path,
                    "colors, expected gray as in training; convert the images",
                    ErrorCode.CONFLICT,
                )
            return LoadedImage(pixels[..., :1], void)
        return LoadedImage(_make_gray(pixels, evidence, self.choices), void)


def find_open_pages(evidence: ImageEvidence, choices: ImageChoices) -> UserError | None:
    """What the pages of a file leave open, with the choices; None if nothing."""
    if evidence.pages == 1 or choices.pages in ("channels", "slices"):
        return None
    if choices.pages in ("max", "mean") and evidence.axes not in ("ZT", "TZ"):
        return None
    kinds = {"Z": "slices in depth (Z)", "T": "times (T)", "ZT": "slices and times", "TZ": "times and slices"}
    if choices.pages != "auto":
        return file_error(
            evidence.path,
            f"{evidence.pages} pages, which are {kinds.get(evidence.axes, evidence.axes)}, and data.pages="
            f"{choices.pages} projects along one axis; choose slices, or save one stack per file",
            ErrorCode.UNSUPPORTED,
        )
    height, width = evidence.size
    if evidence.axes in kinds:
        what = f"which are {kinds[evidence.axes]} by the {evidence.source} metadata"
    elif evidence.axes == "frames":
        what = f"the frames of an animated {evidence.format}"
    else:
        what = (
            f"each {width}x{height} (w x h), and the file does not say if they are channels, slices or times"
        )
    return file_error(
        evidence.path,
        f"{evidence.pages} pages, {what}; say how to read them: {PAGE_CHOICES}{evidence.hint}",
        ErrorCode.UNSUPPORTED,
    )


def inspect_images(paths: Iterable[Path], complain: Complain) -> list[ImageEvidence]:
    """What the headers of image files say; those that cannot be read are complained about and left out."""
    found, problems = [], []
    for path in track(list(paths), "looking at images"):
        try:
            found.append(inspect_image(path))
        except UserError as error:
            problems.append(error)
    for problem in group_problems(problems):
        complain(problem)
    return found


def decide_reading(
    folder: Path,
    evidence: Sequence[ImageEvidence],
    choices: ImageChoices,
    table: tuple[tuple[str, ...], tuple[int, ...]] | None,
    complain: Complain,
) -> ImageReading | None:
    """Decide how the images of a folder are read, from all of them together.

    Args:
        folder: of the images, for messages.
        evidence: of all files.
        choices: of the user.
        table: names of all channels and the numbers of those to use, as `channels.csv` has them.
        complain: takes a line for each kind of problem.

    Returns:
        None where nothing can be decided, after a complaint, or where there is no image.
    """
    problems = [problem for each in evidence if (problem := find_open_pages(each, choices))]
    for problem in group_problems(problems):
        complain(problem)
    files = [each for each in evidence if not find_open_pages(each, choices)]
    names = _name_channels(folder, files, choices, complain) if files else None
    if names is None:
        return None
    used = tuple(range(len(names)))
    if table is not None:
        channels = len(names)
        names, used = table
        if len(names) != channels:
            complain(
                file_error(
                    folder.parent / "channels.csv",
                    f"{_count(len(names), 'line')}, but the images have {_count(channels, 'channel')}, such "
                    f"as {files[0].path.name}; expected a line for each",
                    ErrorCode.CONFLICT,
                )
            )
            return None
    reading = ImageReading(len(names), choices, names, used)
    return reading if choices.value_scaling == "image" else _with_limits(folder, files, reading, complain)


def _name_channels(
    folder: Path, files: Sequence[ImageEvidence], choices: ImageChoices, complain: Complain
) -> tuple[str, ...] | None:
    """Names of the channels that all files have; None after a complaint that they differ."""
    found: dict[int, list[Path]] = defaultdict(list)
    for each in files:
        found[choices.count_channels(each)].append(each.path)
    rgb = all(each.colors == "rgb" for each in files if choices.count_channels(each) == 3)
    if len(found) > 1 and not (set(found) == {1, 3} and rgb):
        kinds = ", ".join(
            f"{len(paths)} of {_count(count, 'channel')} (such as {paths[0].name})"
            for count, paths in sorted(found.items())
        )
        complain(
            file_error(
                folder,
                f"images differ in channels: {kinds}; expected the same in all (gray beside RGB is fine), "
                "convert or move some",
                ErrorCode.CONFLICT,
            )
        )
        return None
    channels = max(found)
    if channels == 1:
        return GRAY
    return RGB if channels == 3 and rgb else tuple(f"channel {i + 1}" for i in range(channels))


def _with_limits(
    folder: Path, files: Sequence[ImageEvidence], reading: ImageReading, complain: Complain
) -> ImageReading | None:
    """The reading with each channel's range over all files, from evenly spaced pixels of each."""
    kinds = Counter(each.dtype for each in files)
    if set(kinds) == {"uint8"}:
        return reading
    if len(kinds) > 1:
        complain(
            file_error(
                folder,
                f"data.value_scaling=folder, but images differ in type ({', '.join(sorted(kinds))}); "
                "expected one range for all, convert some or choose data.value_scaling=image",
                ErrorCode.CONFLICT,
            )
        )
        return None
    samples, problems = [], []
    for each in track(files, "measuring images"):
        try:
            samples.append(reading.sample(each.path))
        except UserError as error:
            problems.append(error)
    for problem in group_problems(problems):
        complain(problem)
    if not samples:
        return None
    limits = np.percentile(np.concatenate(samples), intensity.PERCENTILES, axis=0).T
    return dataclasses.replace(reading, limits=tuple((float(low), float(high)) for low, high in limits))


def group_problems(problems: Iterable[UserError]) -> list[UserError]:
    """One error for each kind of problem, numbers apart: the first file's, with how many more have it."""
    groups: dict[tuple[ErrorCode, str], list[UserError]] = defaultdict(list)
    for problem in problems:
        text = str(problem).removeprefix(problem.field)
        text = re.sub(rf"/{re.escape(Path(problem.field).stem)}(?=\.[a-zA-Z])", "/#", text)
        groups[problem.code, re.sub(r"[-+]?\d[\d.e+-]*", "#", text)].append(problem)
    grouped = []
    for first, *others in groups.values():
        more = ", ".join(Path(other.field).name for other in others[:3]) + (", …" if len(others) > 3 else "")
        text = f"{first} (the same in {len(others)} more: {more})" if others else str(first)
        grouped.append(UserError(text, code=first.code, field=first.field))
    return grouped


def describe_reading(reading: ImageReading, evidence: Sequence[ImageEvidence]) -> str:
    """The decision and its evidence as one sentence: `3 channels (red, green, blue), 8-bit; …`."""
    choices, fitting = reading.choices, [each for each in evidence if not reading.find_misfit(each)]
    parts = [_describe_channels(reading, fitting), _describe_depth(reading, fitting)]

    def add(files: Sequence[ImageEvidence], text: str) -> None:
        if files:
            parts.append(f"{_count(len(files), 'file')} such as {files[0].path.name}: {text}")

    if choices.alpha == "drop":
        text = "transparency, as the file says, is dropped (data.alpha=channel takes it as a channel)"
        add([e for e in fitting if e.alpha], text)
    add([e for e in fitting if e.alpha == "premultiplied"], "colors are multiplied by it, and stay so")
    applied = "turned upright by the orientation in the file, as viewers do (data.orientation=ignore: not)"
    text = applied if choices.orientation == "apply" else "not turned upright, as data.orientation says"
    add([e for e in fitting if e.orientation != 1], text)
    if stacks := [e for e in fitting if e.pages > 1]:
        add(stacks, f"{stacks[0].pages} pages, {PAGES_READ[choices.pages]}, as data.pages says")
    for kind in sorted({e.stored_as for e in fitting} - {""}):
        text = "inverted, so that 0 is black" if kind == "white is 0" else "turned to RGB"
        add([e for e in fitting if e.stored_as == kind], f"{kind}, {text}")
    parts += _describe_nodata(choices, fitting)
    return "; ".join(parts)


def _describe_channels(reading: ImageReading, files: Sequence[ImageEvidence]) -> str:
    counts = Counter(reading.choices.count_channels(each) for each in files)
    formats = Counter(each.format for each in files)
    kinds = ", ".join(f"{count} {name}" for name, count in formats.most_common())
    if not reading.names:
        text = "gray" if reading.channels == 1 else "red, green, blue"
    else:
        text = ", ".join(reading.used_names)
        if len(reading.used_names) < reading.channels:
            text = f"{text} of {', '.join(reading.names)}, as channels.csv says"
    out = f"{_count(len(reading.used) or reading.channels, 'channel')} ({text}) by the headers of {kinds}"
    if reading.channels == 3 and counts[1]:
        out += f"; {_count(counts[1], 'file')} in gray: repeated as red, green and blue"
    if reading.channels == 1 and counts[3]:
        how = "taken as gray, where red, green and blue are equal" if reading.names else "turned to gray"
        out += f"; {_count(counts[3], 'file')} in color: {how}"
    if reading.channels in (2, 4) and not any(each.alpha for each in files):
        out += "; none of them is transparency by the files"
    sources = {each.source for each in files if each.source and each.channels > 1}
    return out + (f"; channel axis as the {' and '.join(sorted(sources))} metadata say" if sources else "")


def _describe_depth(reading: ImageReading, files: Sequence[ImageEvidence]) -> str:
    deep = Counter(each.dtype for each in files if each.dtype != "uint8")
    if not deep:
        return "8-bit"
    kinds = ", ".join(f"{count} {name}" for name, count in sorted(deep.items()))
    if reading.limits:
        return f"{kinds}: scaled to 8 bits by channel, over all images of the folder (data.value_scaling)"
    return f"{kinds}: each scaled to 8 bits by its own range (data.value_scaling=folder: by that of all)"


def _describe_nodata(choices: ImageChoices, files: Sequence[ImageEvidence]) -> list[str]:
    marks = Counter(f"{value:g}" for e in files if (value := choices.void_value(e)) is not None)
    whose = "data.nodata" if choices.nodata not in ("auto", "none") else "GDAL_NODATA"
    named = [f"{mark} ({whose} of {_count(number, 'file')})" for mark, number in marks.items()]
    if any(e.dtype.startswith("float") for e in files) and choices.nodata != "none":
        named.append("NaN")
    if not named:
        return []
    return [f"pixels of {' and '.join(named)} have no data: filled with the median, and void in labels"]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _check_values(pixels: np.ndarray, void: np.ndarray, path: Path, choices: ImageChoices) -> None:
    """Refuse values that mean nothing, or may mean something else, in `[pages, h, w, c]`."""
    if pixels.dtype.kind == "f":
        if choices.nodata == "none" and np.isnan(pixels).any():
            raise file_error(
                path,
                "a value is nan, expected numbers, as data.nodata=none says that all pixels have data; "
                "correct the image, or choose data.nodata=auto",
                ErrorCode.OUT_OF_RANGE,
            )
        values = pixels[~void]
        if not np.isfinite(values).all() or pixels.dtype.itemsize > 4 and (np.abs(values) > HUGE).any():
            raise file_error(
                path,
                "a value is infinite or beyond 1e300, expected numbers; correct the image, or say that such "
                "pixels have no data (data.nodata=inf)",
                ErrorCode.OUT_OF_RANGE,
            )
    if void.all():
        raise file_error(
            path,
            "no pixel has data, expected some; remove the image or see data.nodata",
            ErrorCode.OUT_OF_RANGE,
        )
    if choices.nodata != "auto" or pixels.dtype == np.uint8:
        return
    for channel in range(pixels.shape[-1]):
        if suspect := nodata.find_suspect(pixels[..., channel][~void]):
            raise file_error(
                path,
                f"the value {suspect.value:g} in {100 * suspect.share:.1f} % of the pixels is far from all "
                f"others ({suspect.low:g} to {suspect.high:g}); say whether such pixels have no data "
                f"(data.nodata={suspect.value:g}) or are as measured (data.nodata=none)",
                ErrorCode.CONFLICT,
            )


def _project(pixels: np.ndarray, void: np.ndarray, how: str) -> tuple[np.ndarray, np.ndarray]:
    """Maximum or mean of `[d, h, w, c]` over slices, pixels without data left out: `[h, w, c]`, `[h, w]`."""
    everywhere = np.asarray(void.all(0))
    if how == "max":
        lowest = -math.inf if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).min
        return np.where(void[..., None], pixels.dtype.type(lowest), pixels).max(0), everywhere
    total = np.where(void[..., None], 0, pixels).sum(0, dtype=np.float64)
    mean = total / np.maximum((~void).sum(0), 1)[..., None]
    return (mean.round().astype(np.uint8) if pixels.dtype == np.uint8 else mean), everywhere


def _scale_image(values: np.ndarray, void: np.ndarray) -> np.ndarray:
    """uint8 of values of any type by the image's own range, all channels by one factor, void left out."""
    if values.dtype == np.uint8:
        return values
    # float32 holds 16 bits exactly; more would lose what distinguishes neighboring large values.
    known = values.dtype.itemsize <= 2 or values.dtype == np.float32 and float(np.abs(values).max()) < 1e30
    if known and not void.any():
        return intensity.percentile_normalize(values)
    numbers = values.astype(np.float64)
    low, high = intensity.percentile_limits(numbers[~void])
    if low == high:
        low, high = float(numbers[~void].min()), float(numbers[~void].max())
    return intensity.scale_to_bytes(np.clip((numbers - low) / max(high - low, 1e-300), 0, 1), 0.0, 1.0)


def _make_gray(pixels: np.ndarray, evidence: ImageEvidence, choices: ImageChoices) -> np.ndarray:
    """Gray `[h, w, 1]` of RGB, for nets of published gray sets, whose readers decode so."""
    if pixels.ndim == 3 and evidence.dtype == "uint8" and evidence.format in ("PNG", "JPEG", "BMP"):
        # A JPEG's own gray is not quite that of its colors, and a PNG's is rounded otherwise than cvtColor's.
        gray = image_io.read_gray(evidence.path)[None, ..., None]
        return (turn(gray, evidence.orientation) if choices.orientation == "apply" else gray)[0]
    planes = pixels if pixels.ndim == 4 else pixels[None]
    gray = np.stack([cv2.cvtColor(np.ascontiguousarray(plane), cv2.COLOR_RGB2GRAY) for plane in planes])[
        ..., None
    ]
    return gray if pixels.ndim == 4 else gray[0]
