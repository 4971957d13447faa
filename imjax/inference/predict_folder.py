"""Masks for new images: files in, what the best nets of a run say of them out.

Images are read, predicted and written one after the other, a batch or two being on their way, so that neither
their number nor the differences of their sizes matter to memory and compilation.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import jax
import numpy as np
from tqdm import tqdm

from imjax.config.schema import Mask
from imjax.data import image_io
from imjax.data.preprocess import resize_label
from imjax.data.spec import DatasetSpec
from imjax.errors import UserError
from imjax.inference import writers
from imjax.inference.load_run import LoadedRun
from imjax.inference.sliding_window import Size, Tiler
from imjax.inference.writers import Prediction
from imjax.methods.generational.inconsistency_masks import consensus
from imjax.ops import ensemble
from imjax.ops.batched_map import map_images


def members(stage: LoadedRun, nets: int) -> int:
    """Nets that are asked when `nets` decide: a second one beside a single one, to disagree with it.

    Raises:
        UserError: the stage has not so many.
    """
    most = len(stage.ranked)
    if not 1 <= nets <= most:
        raise UserError(f"--nets={nets}: stage {stage.name} has {most} nets; expected 1 to {most}")
    return min(max(2, nets), most)


def check_folders(folder: Path, out: Path) -> None:
    """Make sure that nothing is written among the images.

    Raises:
        UserError: `out` lies inside the images' folder, or that is where results go.
    """
    source, target = folder.resolve(), out.resolve()
    if target.is_relative_to(source):
        raise UserError(f"--out={out}: lies inside --images={folder}; expected a folder outside of it")
    if any(source.is_relative_to(target / name) for name in writers.FOLDERS):
        raise UserError(f"--images={folder}: is where --out={out} puts its results; name another --out")


@dataclasses.dataclass
class Run:
    """One call of `imjax.predict`: which nets, how images are cut, and what came of it so far."""

    stage: LoadedRun
    nets: int
    """The best so many decide by their mean probability."""
    cutting: Tiler
    rows: list[dict] = dataclasses.field(default_factory=list)
    """Of predictions.csv, in the order of the files."""
    failed: list[str] = dataclasses.field(default_factory=list)
    """A line for each file that could not be read."""

    def __call__(self, files: Sequence[Path], out: Path) -> None:
        """Predict files and write everything to `out`; files that cannot be read are noted and left out.

        Args:
            files: images with different stems.
            out: made if missing; files of these names are replaced.

        Raises:
            UserError: a result cannot be written, or the nets not be read.
        """
        writers.make_folders(self.stage.spec, out)
        variables = self.stage.nets(members(self.stage, self.nets))
        waiting: deque[tuple[Path, Size]] = deque()
        # disable=None: no bar where stderr is no terminal.
        with tqdm(total=len(files), desc="predicting", unit="image", disable=None) as bar:
            pieces = self._pieces(files, waiting)
            asked = self.stage.predictor.probabilities
            said = asked(self.stage.net, variables, pieces, self.stage.size)
            try:
                for first in said:
                    path, shape = waiting.popleft()
                    canvas = self.cutting.join(shape, itertools.chain([first], said))
                    self._finish(path, shape, canvas, out)
                    bar.update(len(self.rows) + len(self.failed) - bar.n)
            finally:
                if self.rows:
                    writers.write_table(out / "predictions.csv", writers.to_label_first(self.rows))

    def _pieces(self, files: Sequence[Path], waiting: deque) -> Iterator[np.ndarray]:
        for path in files:
            if (image := self._read(path)) is not None:
                waiting.append((path, image.shape[:2]))
                yield from self.cutting.pieces(image)

    def _read(self, path: Path) -> np.ndarray | None:
        try:
            return image_io.read_with_channels(path, self.stage.spec.channels)
        except UserError as error:
            self.failed.append(str(error))
            return None

    def _finish(self, path: Path, shape: Size, canvas: np.ndarray, out: Path) -> None:
        # Read again rather than kept: with large images a batch of them would fill the memory.
        image = self._read(path)
        if image is None:
            return
        spec = self.stage.spec
        label, confidence = decide(spec, canvas[: self.nets].mean(0), shape)
        mask = inconsistent(spec, self.stage.predictor.mask, canvas, shape)
        answer = Prediction(label, mask, confidence)
        writers.write(spec, image, answer, out, path.stem)
        self.rows.append(writers.row(spec, path.name, answer))


def decide(spec: DatasetSpec, probabilities: np.ndarray, size: Size) -> tuple[np.ndarray, float]:
    """Label at an image's own size, by `vote.probabilities_to_label`'s rules, and how sure it is.

    Probabilities are resized bilinearly before the label is taken, one output at a time: all of them at
    the size of a large image would fill the memory. The class that a net reserves for inconsistent pixels is
    no answer: the best of the others is taken, with the probability that the net gave it.

    Args:
        spec: kind of the labels.
        probabilities: float32 `[h, w, k]`.
        size: of the image.

    Returns:
        uint8 `[*size]`, outputs or 0/1, multilabel `[*size, k]`; and `Prediction.confidence`.
    """
    planes = (
        cv2.resize(np.ascontiguousarray(plane), size[::-1], interpolation=cv2.INTER_LINEAR)
        for plane in np.moveaxis(probabilities, -1, 0)
    )
    if spec.kind == "multiclass":
        first = int(spec.reserved)
        chosen = itertools.islice(planes, first, None)
        best, label = next(chosen).copy(), np.full(size, first, np.uint8)
        for output, plane in enumerate(chosen, first + 1):
            better = plane > best
            label[better] = output
            np.maximum(best, plane, out=best)
        return label, float(best.mean(dtype=np.float64))
    labels, sure = [], []
    for plane in planes:
        labels.append((plane > 0.5 if spec.kind == "binary" else plane >= 0.5).astype(np.uint8))
        sure.append(np.maximum(plane, 1 - plane).mean(dtype=np.float64))
    label = labels[0] if spec.kind == "binary" else np.stack(labels, -1)
    return label, float(np.mean(sure))


def inconsistent(spec: DatasetSpec, mask: Mask, probabilities: np.ndarray, size: Size) -> np.ndarray:
    """Inconsistency mask of nets at an image's own size, by the run's settings.

    It is made at the size at which the nets saw the image, since the settings' kernels are in pixels of
    that, and enlarged by the nearest pixel. A pixel that all nets give to the class reserved for inconsistent
    ones is in it, too. One net disagrees with nobody: its mask is empty.

    Args:
        spec, mask: of the run.
        probabilities: float32 `[net, h, w, k]`.
        size: of the image.

    Returns:
        bool `[*size]`.
    """
    if len(probabilities) < 2:
        return np.zeros(size, bool)
    found = map_images(_disagreement, probabilities[None], spec=spec, mask=mask)[0]
    return resize_label(found.astype(np.uint8), size).astype(bool)


def _disagreement(probabilities: jax.Array, *, spec: DatasetSpec, mask: Mask) -> jax.Array:
    labels = jax.vmap(functools.partial(ensemble.probabilities_to_label, spec.kind))(probabilities)
    found = consensus(spec, mask, labels).inconsistent
    return found | (labels == 0).all(0) if spec.reserved else found
