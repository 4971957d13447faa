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

from imjax.data import image_meaning
from imjax.data.image_file import ImageEvidence
from imjax.data.readers.base import slice_name
from imjax.errors import ErrorCode, UserError
from imjax.evaluation.objects import measure_objects
from imjax.inference import writers
from imjax.inference.prediction import Prediction
from imjax.inference.sliding_window import Tiler
from imjax.inference.trained_model import TrainedModel
from imjax.inference.truth import Comparison, open_truth
from imjax.log import logger, track


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
    split: bool = True
    """Whether touching objects are taken apart."""
    min_area: int = 1
    """Smaller objects are left out, in pixels."""
    truth_folder: Path | None = None
    """With masks to compare predictions with, see `truth.open_truth`."""
    comparison: Comparison | None = None
    """With these masks, once files have been given."""
    rows: list[dict] = dataclasses.field(default_factory=list)
    """Of predictions.csv, in the order of the files."""
    failed: list[UserError] = dataclasses.field(default_factory=list)
    """One for each file that could not be read."""
    _read_last: tuple[Path, np.ndarray] | None = None
    """The file that was read last: slices of a stack are written one after the other."""
    _values_last: tuple[Path, np.ndarray] | None = None
    """The same with the values as stored."""

    def __call__(self, files: Sequence[Path], out: Path) -> None:
        """Predict files and write everything to `out`; files that cannot be read are noted and left out.

        Args:
            files: images with different stems.
            out: made if missing; results of an earlier call for these images are replaced.

        Raises:
            UserError: a result cannot be written, the nets not be read, no file is as those of training, or
                `out` has anything else in the folders of results.
        """
        evidence = self._select(files)
        if self.truth_folder is not None:
            names = [stem for each in evidence for stem in self._name_results(each)]
            truth = open_truth(self.truth_folder, self.model.spec, names)
            logger.info("%s", truth.describe())
            self.comparison = Comparison(truth, self.model.spec)
        writers.make_folders(self.model.spec, out)
        # Those that fail now have no results, but may have some of an earlier call.
        stems = {path.stem for path in files}.union(*(self._name_results(each) for each in evidence))
        writers.claim_folder(self.model.spec, out, stems)
        waiting: deque[tuple[Path, int | None]] = deque()
        # The bar counts files as they are read, one or two batches ahead of those that are written.
        images = self._images(track([each.path for each in evidence], "predicting"), waiting)
        try:
            with writers.ObjectTable(out / "objects.csv", self.model.spec, self.model.reading) as table:
                for prediction in self.model.predict_stream(images, self.tiler, self.nets):
                    self._write(*waiting.popleft(), prediction, out, table)
        finally:
            images.close()
            if self.rows:
                writers.write_table(out / "predictions.csv", writers.rank_for_labeling(self.rows))
            if self.comparison is not None and self.comparison.rows:
                writers.write_table(out / "comparison.csv", self.comparison.table())

    def _select(self, files: Sequence[Path]) -> list[ImageEvidence]:
        """Files whose headers are those of the training images; says how they are read."""
        reading = self.model.reading
        evidence = image_meaning.inspect_images(files, self.failed.append)
        fitting = []
        for each in evidence:
            if problem := reading.find_misfit(each):
                self.failed.append(problem)
            else:
                fitting.append(each)
        if not fitting and self.failed:
            raise image_meaning.group_problems(self.failed)[0]
        logger.info("images: %s", image_meaning.describe_reading(reading, fitting))
        return fitting

    def _name_results(self, evidence: ImageEvidence) -> list[str]:
        """Stems of a file's results: its own, or one for each slice of a stack."""
        stem = evidence.path.stem
        if evidence.pages > 1 and self.model.reading.choices.pages == "slices":
            return [slice_name(stem, number) for number in range(evidence.pages)]
        return [stem]

    def _images(
        self, files: Iterable[Path], waiting: deque[tuple[Path, int | None]]
    ) -> Generator[np.ndarray, None, None]:
        for path in files:
            image = self._read(path)
            if image is not None and image.ndim == 4:
                for number, plane in enumerate(image):
                    waiting.append((path, number))
                    yield plane
            elif image is not None:
                waiting.append((path, None))
                yield image

    def _read(self, path: Path) -> np.ndarray | None:
        if self._read_last is None or self._read_last[0] != path:
            try:
                self._read_last = path, self.model.reading.load(path).pixels
            except UserError as error:
                self.failed.append(error)
                return None
        return self._read_last[1]

    def _write(
        self, path: Path, number: int | None, prediction: Prediction, out: Path, table: writers.ObjectTable
    ) -> None:
        # Read again rather than kept: with large images a batch of them would fill the memory.
        image = self._read(path)
        if image is None:
            return
        # As stored: values that each image has brought to 8 bits by a range of its own tell nothing.
        values = self._read_values(path)
        stem, name = path.stem, path.name
        if number is not None:
            image, values = image[number], values[number]
            stem, name = slice_name(stem, number), slice_name(name, number)
        writers.write_images(image, prediction, out, stem)
        classes = prediction.label_classes(self.min_area, split=self.split)
        writers.write_instances(classes, prediction, out, stem)
        objects = measure_objects(classes, values)
        table.add(name, objects)
        self.rows.append(writers.make_row(name, prediction, objects))
        if self.comparison is not None:
            self.comparison.add(name, stem, prediction, classes)

    def _read_values(self, path: Path) -> np.ndarray:
        if self._values_last is None or self._values_last[0] != path:
            self._values_last = path, self.model.reading.load_values(path)
        return self._values_last[1]
