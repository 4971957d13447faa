"""Original download -> packed, verified arrays in a cache folder, and back as memory maps.

A packed set is `<cache>/<dataset>-<hash>/{labeled,unlabeled,val,test}/{images,labels}.npy` and
`manifest.json`; val and test have `instances.npy`, too, where the original numbers objects. It is written to
a temporary folder that is renamed last (`partial_folder`), so a folder of that name is whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imjax import __version__
from imjax.config.schema import RESIZE_MODES, Data
from imjax.data import fingerprint, intensity, partial_folder, sample_record, volume_box
from imjax.data.copies import Copies, find_copies
from imjax.data.preprocess import count_crops, cut_crops, iterate_slices
from imjax.data.readers import registry
from imjax.data.readers.base import InstanceReader, Reader, Sample
from imjax.data.spec import DatasetSpec
from imjax.data.split_writer import SplitWriter
from imjax.data.splits import (
    SPLITS,
    ImageCounts,
    StratifiedSampler,
    count_common_sources,
    count_leaked_test_images,
    split_samples,
)
from imjax.errors import ErrorCode, UserError, file_error
from imjax.log import logger, track
from imjax.user_paths import user_cache

FORMAT = 10
"""Raised whenever the same settings and files would be packed differently."""

NOT_PACKED = frozenset({"dir", "cache", "keep_split"})
"""Keys of `config.data` that only say where files lie; the parts that `keep_split` makes are in the hash.
Every other key, a new one too, may change the packed arrays, and so changes the name of their folder."""

Progress = Callable[[list[tuple[str, Sample]], str], Iterable[tuple[str, Sample]]]


@dataclasses.dataclass(frozen=True)
class Split:
    """Read-only memory maps, and per image its name and source."""

    images: np.ndarray
    """uint8 `[n, h, w, c]`, RGB 0..255; volumes `[n, d, h, w, c]`."""
    labels: np.ndarray
    """uint8 `[n, h, w]` or `[n, h, w, k]`, see `DatasetSpec`; volumes with `d` after `n`."""
    names: tuple[str, ...]
    sources: tuple[str, ...]
    instances: np.ndarray | None = None
    """uint16 `[n, h, w]`, numbers of the objects, where the reader knows them: of val and test."""
    files: tuple[str, ...] = ()
    """Per image its file within the data folder, with the number of slice and crop: `images/a.tif#003`. An
    empty name where the image was made on the spot."""

    @property
    def titles(self) -> tuple[str, ...]:
        """Per image what people know it by: its file, or else its name."""
        files = self.files or ("",) * len(self.names)
        return tuple(file or name for file, name in zip(files, self.names, strict=True))


@dataclasses.dataclass(frozen=True)
class PackedDataset:
    """A packed set: what it is, how it was made, and its four splits by name."""

    spec: DatasetSpec
    manifest: dict[str, Any]
    splits: dict[str, Split]
    stamps: fingerprint.Stamps = dataclasses.field(default_factory=dict)
    """Of the arrays' files, which are read as the run goes on."""

    @property
    def image_counts(self) -> ImageCounts:
        """Images of the training splits."""
        return ImageCounts(*(len(self.splits[name].images) for name in ("labeled", "unlabeled")))

    @property
    def samples(self) -> sample_record.Records:
        """What is known of the samples' files, to say what has changed since."""
        return self.manifest["samples"]

    @property
    def fold(self) -> int:
        """See `Data.fold`."""
        return self.manifest.get("data", {}).get("fold", 0)

    @property
    def is_final(self) -> bool:
        """Whether each image is in all of labeled, val and test, see `Data.is_final`."""
        data = self.manifest.get("data", {})
        return data.get("folds", 1) > 1 and not data.get("fold", 0)

    @property
    def copies(self) -> Copies:
        """Exact copies of images on both sides of the split, as they were found when the set was packed."""
        return self.manifest["copies"]


def default_cache() -> Path:
    """Where packed sets go by default: the user's cache folder, whatever the platform."""
    return user_cache() / "imjax"


def show_progress(items: list[tuple[str, Sample]], what: str) -> Iterator[tuple[str, Sample]]:
    """Pass `items` through with a progress bar, or one log line when stderr is no terminal."""
    if not sys.stderr.isatty():
        logger.info("%s: %d images", what, len(items))
    yield from track(items, what)


def prepare_dataset(data: Data, cache: Path, progress: Progress = show_progress) -> Path:
    """Pack a dataset, or find it packed already (Vorndran & Roeck 2024, data preparation).

    Every file is read and checked here, once; nothing is left behind if one of them is bad.

    Args:
        data: what to pack; the folder's name has a hash of it and of the files' names and contents.
        cache: parent of the packed folder, outside of the data.
        progress: wraps the images while they are packed.

    Returns:
        The packed folder, for `load_packed`.

    Raises:
        UserError: a key out of range; missing, bad or changing file, too few images, or no room or right to
            write.
    """
    check_settings(data)
    _check_cache(data, cache)
    reader, raw = registry.make(data), Path(data.dir)
    volume_box.check_box(data, reader.spec)
    parts = _keep_split(data, reader.scan(raw))
    chosen = split_samples(data, parts)
    torn = 0 if data.is_final else count_leaked_test_images(chosen)
    if torn:
        _warn(reader.spec, data, torn, len(chosen["test"]))
    stamps = fingerprint.take_fingerprints(_files(parts)) if parts else {}
    hashes = {path: fingerprint.hash_contents(path) for path in sorted(_files(parts))}
    digest = _digest(data, raw, parts, hashes)
    target = cache / f"{data.dataset}-{digest[:12]}"
    if (target / "manifest.json").is_file():
        return target
    # Before anything is written: a folder of the user's looks at its masks for it.
    _ = reader.spec
    try:
        cache.mkdir(parents=True, exist_ok=True)
        partial_folder.remove_abandoned(cache)
        with partial_folder.make(cache, target.name) as partial:
            records = sample_record.make_records(chosen, hashes, raw)
            _write(data, reader, chosen, partial, {"hash": digest, "samples": records}, progress)
            _check_same(raw, stamps)
            _publish(partial, target)
    except OSError as error:
        raise file_error(
            error.filename or cache,
            f"{error.strerror or error}; expected a folder with room for "
            f"{_bytes(data, reader, chosen) / 2**20:.0f} MiB, free some or name another cache folder",
            ErrorCode.UNWRITABLE,
        ) from error
    return target


def load_packed(root: Path, verify: bool = True) -> PackedDataset:
    """Open a packed set.

    Args:
        root: what `prepare_dataset` returned.
        verify: compare every array with its checksum (about a second per GB).

    Raises:
        UserError: a file is missing or not as it was written.
    """
    path = root / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
        spec, entries = DatasetSpec.of(manifest["spec"]), manifest["splits"]
        files = [root / name / f"{kind}.npy" for name in SPLITS for kind in entries[name]["sha256"]]
        # Before they are compared: what changes in between is noticed either way.
        taken = fingerprint.take_fingerprints(files)
        splits = {name: _open(root / name, entries[name], verify) for name in SPLITS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        where = getattr(error, "filename", None) or path
        raise _damaged(where, root, str(error)) from error
    return PackedDataset(spec, manifest, splits, taken)


def check_settings(data: Data) -> None:
    """UserError where settings cannot be packed by, whatever the files."""
    for name, side in zip(("width", "height", "depth"), reversed(data.box), strict=False):
        if side < 16 or side % 16:
            raise UserError(
                f"size = {data.box}, expected sides that are multiples of 16",
                code=ErrorCode.OUT_OF_RANGE,
                field=f"data.{name}",
            )
    if data.random_crops < 0:
        raise UserError(
            f"random_crops = {data.random_crops}, expected 0 (whole images) or more",
            code=ErrorCode.OUT_OF_RANGE,
            field="data.random_crops",
        )
    if not 0 <= data.tile_overlap < 1:
        raise UserError(
            f"tile_overlap = {data.tile_overlap}, expected 0 (no grid of crops) or more, less than 1",
            code=ErrorCode.OUT_OF_RANGE,
            field="data.tile_overlap",
        )
    if data.random_crops and data.tile_overlap:
        raise UserError(
            f"random_crops = {data.random_crops} and tile_overlap = {data.tile_overlap}, expected one "
            "of them to be 0",
            code=ErrorCode.CONFLICT,
            field="data.tile_overlap",
        )
    if data.resize_mode not in RESIZE_MODES:
        raise UserError(
            f"resize_mode = {data.resize_mode!r}, expected one of {', '.join(RESIZE_MODES)}",
            code=ErrorCode.OUT_OF_RANGE,
            field="data.resize_mode",
        )
    if data.by_crop and not data.tile_overlap:
        raise UserError(
            "by_crop = True without tile_overlap, expected a grid of overlapping crops, as of HeLa",
            code=ErrorCode.CONFLICT,
            field="data.by_crop",
        )
    if data.resize_mode == "pad" and data.is_cropped:
        raise UserError(
            "resize_mode = 'pad' beside random_crops or tile_overlap, expected resize or crop; change either",
            code=ErrorCode.CONFLICT,
            field="data.resize_mode",
        )


def _check_cache(data: Data, cache: Path) -> None:
    if data.dir and cache.resolve().is_relative_to(Path(data.dir).resolve()):
        raise file_error(
            cache,
            f"the cache folder lies inside the data {data.dir}, expected one outside of it",
            ErrorCode.CONFLICT,
        )


def _warn(spec: DatasetSpec, data: Data, torn: int, count: int) -> None:
    """Say it, on every run and not only when packing, when a split flatters the test figures."""
    others = " or ".join(name for name in spec.splits if name != data.split)
    logger.warning(
        f"{spec.title}, split {data.split!r}: {torn} of {count} test images have a "
        f"copy of their scene in training or val, so that test figures flatter; another split: {others}"
    )


def packing_settings(data: Data) -> dict[str, Any]:
    """The keys that the packed arrays depend on, with their values."""
    # Folders are left out: the same files elsewhere (another mount) are the same set.
    return {name: value for name, value in dataclasses.asdict(data).items() if name not in NOT_PACKED}


def _keep_split(data: Data, parts: dict[str, list[Sample]]) -> dict[str, list[Sample]]:
    """The reader's parts, those of a pool divided as in the run that `keep_split` names."""
    if not data.keep_split:
        return parts
    earlier = sample_record.read_records(Path(data.keep_split))
    return sample_record.keep_division(parts, earlier, data.label_fraction)


def _digest(data: Data, raw: Path, parts: dict[str, list[Sample]], hashes: Mapping[Path, str]) -> str:
    # Of contents, not of times: a copy, or the same files on another machine, are the same data.
    listing: list[list[str]] = []
    for part, samples in parts.items():
        for sample in samples:
            listing.append([part, sample.name, sample.source])
            for path in _sample_files(sample):
                listing.append([path.relative_to(raw).as_posix(), hashes[path]])
    facts = [FORMAT, packing_settings(data), listing]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _sample_files(sample: Sample) -> Iterator[Path]:
    return filter(None, (sample.image, sample.mask, *sample.more_masks))


def _files(parts: dict[str, list[Sample]]) -> set[Path]:
    return {path for samples in parts.values() for sample in samples for path in _sample_files(sample)}


def _check_same(raw: Path, stamps: fingerprint.Stamps) -> None:
    """UserError where the files are others than before they were read, by size and time."""
    try:
        now = fingerprint.take_fingerprints(stamps)
    except OSError:
        now = {}
    if now != stamps:
        raise file_error(
            raw,
            "files changed while they were read; wait for what writes there, start again",
            ErrorCode.CHANGED,
        )


def _write(
    data: Data,
    reader: Reader,
    chosen: dict[str, list[Sample]],
    folder: Path,
    facts: Mapping[str, Any],
    progress: Progress,
) -> None:
    spec, numbered, raw = reader.spec, _splits_with_instances(reader), Path(data.dir)
    writers = {
        name: SplitWriter(folder / name, data, spec, samples, name in numbered)
        for name, samples in chosen.items()
    }
    smaller = []
    labeled_crops = _draw_labeled_crops(data, reader, chosen) if data.by_crop else {}
    try:
        todo = [(name, sample) for name, samples in chosen.items() for sample in samples]
        for name, sample in progress(todo, f"preparing {data.dataset}"):
            for title, image, label in iterate_slices(*reader.load(sample), sample.name, reader.spec.dims):
                key = sample.source + "/" + title
                image = intensity.percentile_normalize(image) if data.percentile_normalize else image
                rules = spec.label_resize, spec.image_resize, spec.oversized_crop
                instances = _cut_instances(reader, sample, image, key, data) if name in numbered else None
                for i, pair in enumerate(cut_crops(image, label, key, data, *rules)):
                    piece = f"{title}#{i}" if data.is_cropped else title
                    objects = () if instances is None else (_keep_inside(next(instances), pair[1]),)
                    writer = writers[labeled_crops.get(f"{key}#{i}", name)]
                    writer.add(piece, sample.source, _name_file(sample, piece, raw), *pair, *objects)
                if reader.spec.dims == 3 and volume_box.cropped_foreground_voxels(label, data.box):
                    smaller.append(title)
        for writer in writers.values():
            writer.finish()
    finally:
        for writer in writers.values():
            writer.close()
    volume_box.warn_of_cropped_volumes(smaller, len(todo), data.box)
    images = {name: np.load(folder / name / "images.npy", mmap_mode="r") for name in writers}
    manifest = {
        "format": FORMAT,
        "imjax": __version__,
        **facts,
        "data": packing_settings(data),
        "spec": dataclasses.asdict(reader.spec),
        "splits": {name: writer.facts() for name, writer in writers.items()},
        # Final nets have no test set: all images are in each of labeled, val and test.
        "test_images_seen_in_training": 0 if data.is_final else count_leaked_test_images(chosen),
        # Here, and not on every start of a run: it reads every image.
        "copies": {}
        if data.is_final
        else find_copies({name: (writer.names, images[name]) for name, writer in writers.items()}),
        "common_sources": count_common_sources({name: writer.sources for name, writer in writers.items()}),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


def _name_file(sample: Sample, piece: str, raw: Path) -> str:
    """See `Split.files`; `piece` is the sample's name and the numbers of slice and crop."""
    if sample.image is None:
        return ""
    return sample.image.relative_to(raw).as_posix() + piece.removeprefix(sample.name)


def _splits_with_instances(reader: Reader) -> tuple[str, ...]:
    """Splits whose objects are kept apart: those that networks are measured on."""
    known = isinstance(reader, InstanceReader) and reader.has_instances
    # Objects of stacks of slices would go on from slice to slice.
    return ("val", "test") if known and reader.spec.kind == "binary" and not reader.spec.volumes else ()


def _cut_instances(
    reader: Reader, sample: Sample, image: np.ndarray, key: str, data: Data
) -> Iterator[np.ndarray]:
    """Numbers of the objects in each piece of an image, as `cut_crops` cuts it."""
    assert isinstance(reader, InstanceReader)
    numbers = reader.load_instances(sample)
    return (
        piece for _, piece in cut_crops(image, numbers, key, data, oversized_crop=reader.spec.oversized_crop)
    )


def _keep_inside(numbers: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Numbers without those around a padded image, where `cut_crops` puts VOID, and outside of the label.

    A label may be resized by another rule than numbers, which nothing may mix.
    """
    return np.where(label == 1, numbers, 0).astype(np.uint16)


def _draw_labeled_crops(data: Data, reader: Reader, chosen: dict[str, list[Sample]]) -> dict[str, str]:
    """Split of each crop of the training images by source and name, where a share of the crops is labeled."""
    crops = [
        f"{sample.source}/{sample.name}#{i}"
        for sample in (*chosen["labeled"], *chosen["unlabeled"])
        # Only the images know how many crops their grid has.
        for i in range(count_crops(reader.load(sample)[0].shape[:2], data))
    ]
    sampler = StratifiedSampler(data.split_seed, {})
    labeled, unlabeled = sampler.sample(sorted(crops), data.label_fraction * len(crops), "split/crops")
    return dict.fromkeys(labeled, "labeled") | dict.fromkeys(unlabeled, "unlabeled")


def _publish(partial: Path, target: Path) -> None:
    if target.exists() and not (target / "manifest.json").is_file():
        shutil.rmtree(
            target
        )  # someone deleted files of it; never a set in the making, those have other names
    try:
        (partial / partial_folder.WRITER).unlink()
        partial.rename(target)
    except OSError:
        if not (target / "manifest.json").is_file():  # else another run has just packed the same
            raise


def _open(folder: Path, entry: dict[str, Any], verify: bool) -> Split:
    arrays = {}
    for kind, digest in entry["sha256"].items():
        path = folder / f"{kind}.npy"
        if verify and fingerprint.hash_file(path) != digest:
            raise _damaged(path, folder.parent, "its checksum is not the one in manifest.json")
        arrays[kind] = np.load(path, mmap_mode="r")
        if list(arrays[kind].shape) != entry["shapes"][kind]:
            raise _damaged(path, folder.parent, f"shape {arrays[kind].shape} is not {entry['shapes'][kind]}")
    names, sources, files = (tuple(entry[key]) for key in ("names", "sources", "files"))
    return Split(arrays["images"], arrays["labels"], names, sources, arrays.get("instances"), files)


def _damaged(path: Path | str, root: Path, why: str) -> UserError:
    return file_error(
        path, f"damaged ({why}); delete the folder {root} and prepare it again", ErrorCode.DAMAGED
    )


def count_training_images(data: Data) -> ImageCounts:
    """How many packed images a dataset has, from its files alone; nothing is packed.

    Where images decide on the crops or the slices, as if all were like the first of their split.

    Raises:
        UserError: as `prepare_dataset`, for missing files.
    """
    reader = registry.make(data)
    chosen = split_samples(data, _keep_split(data, reader.scan(Path(data.dir))))
    labeled, unlabeled = (_count_packed(data, reader, chosen[name]) for name in ("labeled", "unlabeled"))
    if data.by_crop:
        total = labeled + unlabeled
        labeled = round(data.label_fraction * total)
        unlabeled = total - labeled
    return ImageCounts(labeled, unlabeled)


def _count_packed(data: Data, reader: Reader, samples: list[Sample]) -> int:
    if not samples:
        return 0
    depth, shape = 1, data.size
    if data.is_grid or reader.spec.volumes:
        *stack, height, width, _ = reader.load(samples[0])[0].shape
        depth, shape = stack[0] if stack else 1, (height, width)
    # A volume stays whole; a stack of slices becomes so many images.
    return len(samples) * (depth if reader.spec.dims == 2 else 1) * count_crops(shape, data)


def _bytes(data: Data, reader: Reader, chosen: dict[str, list[Sample]]) -> int:
    """Size of the arrays, as near as `_count_packed` knows it."""
    spec = reader.spec
    images = sum(_count_packed(data, reader, samples) for samples in chosen.values())
    planes = spec.channels + (len(spec.classes) if spec.kind == "multilabel" else 1)
    return images * math.prod(data.box) * planes
