"""Synthetic scenes written as another dataset's original download, to try its reader without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import h5py
import numpy as np

from imjax import rng
from imjax.data.folder import files, tables
from imjax.data.readers import (
    acdc,
    camvid,
    cityscapes,
    dsb2018,
    hela,
    isic2018,
    left_atrium,
    magnetic_tiles,
    neu_seg,
    suim,
)
from imjax.data.synthetic import cells, volumes
from imjax.data.synthetic import scenes as synthetic
from imjax.errors import ErrorCode, UserError, file_error

# Target class of each synthetic class (index: synthetic class; 0 does not occur).
SUIM_CLASSES = np.array([0, 1, 2, 4, 7], np.uint8)
CAMVID_CLASSES = np.array([0, 2, 4, 9, 10], np.uint8)
CITYSCAPES_IDS = np.array([0, 7, 26, 24, 11], np.uint8)

Scenes = Mapping[str, tuple[np.ndarray, np.ndarray]]


def write_synthetic(
    dataset: str, out: Path, counts: Mapping[str, int], seed: int = 0, size: tuple[int, int] | None = None
) -> None:
    """Write scenes in the original layout of `dataset`, a key of `WRITERS`.

    Binary sets get any object of a scene as foreground.

    Args:
        out: folder to make; its layout is the one `readers` expect of a download.
        counts: images by part, for the parts that `WRITERS` names; more do no harm.
        size: height and width of the files in pixels; unless given, what suits the dataset. Volumes have
            `synthetic_volumes.DEPTH` slices.

    Raises:
        UserError: a dataset without such a writer, or a folder that is not empty.
    """
    if dataset not in WRITERS:
        raise UserError(
            f"synthetic data can be written as {' or '.join(WRITERS)}, not as {dataset!r}",
            code=ErrorCode.UNSUPPORTED,
            field="--dataset",
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise file_error(
            out, "expected a new or empty folder to write synthetic data to; name another", ErrorCode.CONFLICT
        )
    writer = WRITERS[dataset]
    size = size or writer.size
    for part in writer.parts:
        names = [f"{part}_{i:05d}" for i in range(counts[part])]
        scenes = {name: writer.scene(rng.numpy(seed, "fixture/" + name), size) for name in names}
        writer.write(out, part, scenes)


def _suim(out: Path, part: str, scenes: Scenes) -> None:
    colors = np.array(suim.SPEC.palette, np.uint8)
    for name, (image, label) in scenes.items():
        _write(out / suim.PARTS[part] / "images" / f"{name}.jpg", image)
        _write(out / suim.PARTS[part] / "masks" / f"{name}.bmp", colors[SUIM_CLASSES[label]])


def _camvid(out: Path, part: str, scenes: Scenes) -> None:
    lines = []
    for name, (image, label) in scenes.items():
        # A frame of unlabeled pixels, as in the original.
        index = np.full_like(label, camvid.UNLABELED)
        index[4:-4, 4:-4] = CAMVID_CLASSES[label][4:-4, 4:-4] - 1
        _write(out / part / f"{name}.png", image)
        _write(out / f"{part}annot" / f"{name}.png", index)
        lines.append(f"/SegNet/CamVid/{part}/{name}.png /SegNet/CamVid/{part}annot/{name}.png\n")
    (out / f"{part}.txt").write_text("".join(lines))


def _isic2018(out: Path, part: str, scenes: Scenes) -> None:
    name_of_part = isic2018.PARTS[part]
    images, masks = out / isic2018.IMAGES.format(name_of_part), out / isic2018.MASKS.format(name_of_part)
    for name, (image, label) in scenes.items():
        _write(images / f"ISIC_{name}.jpg", image)
        _write(masks / f"ISIC_{name}{isic2018.ENDING}", _white(label > synthetic.BACKGROUND))
    # Both folders of the original hold such a file, which the reader must pass over.
    for folder in (images, masks):
        (folder / "LICENSE.txt").write_text("Synthetic scenes.\n")


def _dsb2018(out: Path, part: str, scenes: Scenes) -> None:
    for name, (image, label) in scenes.items():
        folder = out / dsb2018.PARTS[part] / name
        _write(folder / "images" / f"{name}.png", np.dstack([image, np.full_like(label, 255)]))
        for kind in synthetic.OBJECTS:
            count, index = cv2.connectedComponents((label == kind).astype(np.uint8))
            for i in range(1, count):
                _write(folder / "masks" / f"{name}_{kind}_{i}.png", _white(index == i))


def _cityscapes(out: Path, part: str, scenes: Scenes) -> None:
    folder = Path(cityscapes.PARTS[part]) / "nowhere"
    for i, (image, label) in enumerate(scenes.values()):
        stem = f"nowhere_{i:06d}_000019"
        _write(out / "leftImg8bit" / folder / f"{stem}{cityscapes.IMAGES}", image)
        _write(out / "gtFine" / folder / f"{stem}{cityscapes.MASKS}", CITYSCAPES_IDS[label])


def _neu_seg(out: Path, part: str, scenes: Scenes) -> None:
    folder, pairs = neu_seg.PARTS[part], list(scenes.values())
    for i in range(len(pairs)):
        # As in the original, a scene comes in several copies, turned and compressed anew.
        image, label = (np.rot90(array, 2 * (i % 2)) for array in pairs[i - i % 2])
        _write(out / "images" / folder / f"{i:06d}.jpg", _gray(image, channels=3))
        _write(out / "annotations" / folder / f"{i:06d}.png", label - np.uint8(synthetic.BACKGROUND))


def _dagm(out: Path, part: str, scenes: Scenes) -> None:
    for i, (image, label) in enumerate(scenes.values()):
        folder = out / f"Class{i % 2 + 1}" / ("Test" if part == "test" else "Train")
        _write(folder / f"{i + 1:04d}.PNG", _gray(image))
        # Boxes are the defects, and ellipses belong to the surface.
        if (label == max(synthetic.OBJECTS)).any():
            path = folder / "Label" / f"{i + 1:04d}_label.PNG"
            _write(path, _white(label == max(synthetic.OBJECTS)))


def _mt(out: Path, part: str, scenes: Scenes) -> None:
    for kind in magnetic_tiles.TYPES:
        (out / f"MT_{kind}" / "Imgs").mkdir(parents=True)
    for i, (image, label) in enumerate(scenes.values()):
        # One type per photograph. The other classes' objects are painted over: left there, they would be
        # defects in one photograph and tile in the next.
        index = i % (len(synthetic.OBJECTS) + 1)
        where = np.zeros(label.shape, bool)
        if index:
            where = label == list(synthetic.OBJECTS)[index - 1]
        # Two photographs of a region, then on to a distant one.
        stem = f"exp{i % 2 + 1}_num_{5000 * (i // 2) + 20 * (i % 2)}"
        folder = out / f"MT_{magnetic_tiles.TYPES[index]}" / "Imgs"
        others = (label != synthetic.BACKGROUND) & ~where
        _write(folder / f"{stem}.jpg", _gray(cv2.inpaint(image, _white(others), 3, cv2.INPAINT_TELEA)))
        _write(folder / f"{stem}.png", _white(where))


ACDC_DEPTH = 2
"""Slices of a written volume."""
ACDC_FIRST = {"train": 1, "val": 801, "test": 901}
"""First patient of each part."""


def _acdc(out: Path, part: str, scenes: Scenes) -> None:
    pairs = [
        (_gray(image).astype(np.float32) / 255, label - np.uint8(synthetic.BACKGROUND))
        for image, label in scenes.values()
    ]
    stems = []
    for i in range(0, len(pairs), ACDC_DEPTH):
        volume = f"patient{ACDC_FIRST[part] + i // ACDC_DEPTH:03d}_frame01"
        images, labels = (np.stack(arrays) for arrays in zip(*pairs[i : i + ACDC_DEPTH], strict=True))
        if part == "train":
            for z, pair in enumerate(zip(images, labels, strict=True), start=1):
                stems.append(f"{volume}_slice_{z}")
                _write_h5(out / "data" / "slices" / f"{stems[-1]}.h5", *pair)
        else:
            stems.append(volume)
            _write_h5(out / "data" / f"{volume}.h5", images, labels)
    name = acdc.SLICES if part == "train" else acdc.VOLUMES[part]
    (out / name).write_text("".join(f"{stem}\n" for stem in stems))


def _la(out: Path, part: str, scenes: Scenes) -> None:
    for name, (image, label) in scenes.items():
        # As in the original, the slices come last.
        arrays = (np.moveaxis(array, 0, -1) for array in (image, label))
        _write_h5(out / left_atrium.FOLDER / name / left_atrium.FILE, *arrays)
    (out / left_atrium.LISTS[part]).write_text("".join(f"{name}\n" for name in scenes))


def _write_h5(path: Path, image: np.ndarray, label: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("image", data=image, compression="gzip")
        file.create_dataset("label", data=label, compression="gzip")


def _folder(out: Path, part: str, scenes: Scenes) -> None:
    """A folder of one's own: images of six sizes, and for every other one a mask in colors."""
    colors = np.array(synthetic.SPEC.palette, np.uint8)
    for i, (image, label) in enumerate(scenes.values()):
        height, width = image.shape[0] - 16 * (i % 2), image.shape[1] - 16 * (i % 3)
        _write(out / files.IMAGES / f"scene_{i:03d}.png", image[:height, :width])
        if i % 2 == 0:
            _write(out / files.MASKS / f"scene_{i:03d}.png", colors[label[:height, :width]])
    pairs = zip(synthetic.SPEC.classes[1:], synthetic.SPEC.palette[1:], strict=True)
    lines = ["name,color", *(f"{name},#{bytes(color).hex()}" for name, color in pairs)]
    (out / tables.CLASSES).write_text("".join(f"{line}\n" for line in lines))


def _gray(image: np.ndarray, channels: int = 1) -> np.ndarray:
    """RGB uint8 `[h, w, 3]` to gray `[h, w]`, or as many equal channels."""
    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return np.dstack([gray] * channels) if channels > 1 else gray


def _white(where: np.ndarray) -> np.ndarray:
    """bool `[h, w]` to the 0 and 255 of binary mask files."""
    return where.astype(np.uint8) * np.uint8(255)


def _hela(out: Path, part: str, scenes: Scenes) -> None:
    for name, (image, label) in scenes.items():
        maps = (image, *(np.moveaxis(label, -1, 0) * np.uint8(255)))
        for folder, array in zip(hela.FOLDERS, maps, strict=True):
            _write(out / hela.PARTS[part] / folder / f"{name}.png", array)


def _write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # OpenCV writes BGR, and alpha last.
    stored = array[..., [2, 1, 0, *range(3, array.shape[2])]] if array.ndim == 3 else array
    ok, data = cv2.imencode(
        path.suffix, stored, [cv2.IMWRITE_JPEG_QUALITY, 92] if path.suffix == ".jpg" else []
    )
    assert ok, path
    path.write_bytes(data.tobytes())


@dataclasses.dataclass(frozen=True)
class LayoutWriter:
    """How scenes become files of one dataset."""

    write: Callable[[Path, str, Scenes], None]
    """Writes one part: folder, part, scenes."""
    parts: Iterable[str]
    scene: Callable[[np.random.Generator, tuple[int, int]], tuple[np.ndarray, np.ndarray]] = (
        synthetic.draw_scene
    )
    size: tuple[int, int] = (240, 320)
    """Height and width of the files by default."""


WRITERS = {
    "acdc": LayoutWriter(_acdc, ACDC_FIRST),
    "camvid": LayoutWriter(_camvid, camvid.PARTS),
    "cityscapes": LayoutWriter(_cityscapes, cityscapes.PARTS),
    "dagm": LayoutWriter(_dagm, ("train_val", "test")),
    "dsb2018": LayoutWriter(_dsb2018, dsb2018.PARTS),
    "folder": LayoutWriter(_folder, ("train_val_test",)),
    # More than one of the set's crops, so that preparing cuts them.
    "hela": LayoutWriter(_hela, hela.PARTS, cells.draw_cells, (320, 400)),
    "isic2017": LayoutWriter(_isic2018, isic2018.PARTS),
    "isic2018": LayoutWriter(_isic2018, isic2018.PARTS),
    "la": LayoutWriter(_la, left_atrium.LISTS, volumes.draw_volume, (64, 80)),
    "mt": LayoutWriter(_mt, ("train_val_test",)),
    # Square, as the original: right angles turn them into themselves.
    "neu_seg": LayoutWriter(_neu_seg, neu_seg.PARTS, size=(200, 200)),
    "suim": LayoutWriter(_suim, suim.PARTS),
}
