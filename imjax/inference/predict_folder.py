"""Masks for new images: files in, what the best nets of a run predict for them out.

Images are read, predicted and written one after the other, a batch or two being on their way, so that neither
their number nor the differences of their sizes matter to memory and compilation.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

import numpy as np

from imjax.data import image_io
from imjax.errors import ErrorCode, UserError
from imjax.inference import writers
from imjax.inference.prediction import Prediction
from imjax.inference.sliding_window import Tiler
from imjax.inference.trained_model import TrainedModel
from imjax.log import track


def check_folders(folder: Path, out: Path) -> None:
    """Make sure that nothing is written among the images.

    Raises:
        UserError: `out` lies inside the images' folder, or that is where results go.
    """
    source, target = folder.resolve(), out.resolve()
    if target.is_relative_to(source):
        raise UserError(
            f"--out={out}: lies inside --images={folder}; expected a folder outside of it",
            code=ErrorCode.CONFLICT,
            field="--out",
        )
    if any(source.is_relative_to(target / name) for name in writers.FOLDERS):
        raise UserError(
            f"--images={folder}: is where --out={out} puts its results; name another --out",
            code=ErrorCode.CONFLICT,
            field="--images",
        )


@dataclasses.dataclass
class FolderPrediction:
    """One call of `imjax.predict`: which nets, how images are cut, and what came of it so far."""

    model: TrainedModel
    nets: int
    """The best so many decide by their mean probability."""
    tiler: Tiler
    rows: list[dict] = dataclasses.field(default_factory=list)
    """Of predictions.csv, in the order of the files."""
    failed: list[str] = dataclasses.field(default_factory=list)
    """A line for each file that could not be read."""

    def __call__(self, files: Sequence[Path], out: Path) -> None:
        """Predict files and write everything to `out`; files that cannot be read are noted and left out.

        Args:
            files: images with different stems.
            out: made if missing; results of an earlier call for these images are replaced.

        Raises:
            UserError: a result cannot be written, or the nets not be read; `out` has anything else in the
                folders of results.
        """
        writers.make_folders(self.model.spec, out)
        writers.claim_folder(self.model.spec, out, {path.stem for path in files})
        waiting: deque[Path] = deque()
        # The bar counts files as they are read, one or two batches ahead of those that are written.
        images = self._images(track(files, "predicting"), waiting)
        try:
            for prediction in self.model.predict_stream(images, self.tiler, self.nets):
                self._write(waiting.popleft(), prediction, out)
        finally:
            images.close()
            if self.rows:
                writers.write_table(out / "predictions.csv", writers.rank_for_labeling(self.rows))

    def _images(self, files: Iterable[Path], waiting: deque[Path]) -> Generator[np.ndarray, None, None]:
        for path in files:
            if (image := self._read(path)) is not None:
                waiting.append(path)
                yield image

    def _read(self, path: Path) -> np.ndarray | None:
        try:
            return image_io.read_with_channels(path, self.model.spec.channels)
        except UserError as error:
            self.failed.append(str(error))
            return None

    def _write(self, path: Path, prediction: Prediction, out: Path) -> None:
        # Read again rather than kept: with large images a batch of them would fill the memory.
        image = self._read(path)
        if image is None:
            return
        writers.write_images(image, prediction, out, path.stem)
        self.rows.append(writers.make_row(path.name, prediction))
