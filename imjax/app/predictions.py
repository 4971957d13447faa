"""What a run's nets predict for the folder's images, and its score: the page's one seam to the nets.

  python -m imjax.app.predictions RUN FOLDER

is started by the page after a training, as a process of its own: it takes the device's memory only while it
works. One file for each image, and a line of `scores.jsonl`, are written as soon as they are known.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from imjax.app.folder_store import FolderStore, pack_planes
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError, file_error

FOLDER, SCORES = "predictions", "scores.jsonl"


class ImagePrediction(NamedTuple):
    """What the nets say of one image."""

    labels: np.ndarray
    """uint8 `[h, w]`, as of `folder_store.PaintMask`."""
    inconsistency: np.ndarray
    """bool `[h, w]`, where the nets disagree."""
    score: float
    """0..1, the estimated IoU of the mask; see `Prediction.confidence`."""


def predict_images(workdir: Path, store: FolderStore, names: Iterable[str]) -> Iterator[ImagePrediction]:
    """Predict images of a folder by a run's nets, in order.

    Raises:
        UserError: the run has no nets yet, or others classes than the folder.
    """
    # Only the process that predicts loads nets.
    from imjax.inference.load_run import load_model

    model = load_model(workdir)
    _check_classes(workdir, model.spec, store)
    for name in names:
        prediction = model.predict(store.image_path(name))
        output = prediction.output
        labels = pack_planes(output) if model.spec.kind == "multilabel" else output
        yield ImagePrediction(labels, prediction.inconsistency, prediction.confidence)


def _check_classes(workdir: Path, spec: DatasetSpec, store: FolderStore) -> None:
    names = spec.classes[int(spec.reserved) :]
    if spec.kind != store.meaning.kind or names != store.meaning.names:
        raise file_error(
            workdir,
            f"trained for {spec.kind} of {', '.join(names)}, but the folder has {store.meaning.kind} of "
            f"{', '.join(store.meaning.names)}; train on the folder as it is",
            ErrorCode.CONFLICT,
        )


@dataclasses.dataclass(frozen=True)
class PredictionFiles:
    """Predictions of a run on disk, in `RUN/predictions`."""

    workdir: Path

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self.workdir / FOLDER

    def read_scores(self, store: FolderStore) -> dict[str, float]:
        """Image → score, of predictions for the images as they are now."""
        scores: dict[str, float] = {}
        try:
            lines = (self.folder / SCORES).read_text(encoding="utf-8").splitlines()
        except OSError:
            return {}
        for line in lines:
            try:
                record = json.loads(line)
                name, score, stamp = record["name"], float(record["score"]), record["image"]
            except (ValueError, KeyError, TypeError):
                continue  # being written
            if name in store.names and stamp == _stamp(store.image_path(name)):
                scores[name] = score
        return scores

    def write(self, name: str, image: Path, prediction: ImagePrediction) -> None:
        """Add a prediction."""
        self.folder.mkdir(exist_ok=True)
        path = self._path(name)
        temporary = path.with_suffix(".tmp")
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, labels=prediction.labels, inconsistency=np.packbits(prediction.inconsistency, axis=-1)
        )
        temporary.write_bytes(buffer.getvalue())
        os.replace(temporary, path)
        record = {"name": name, "score": prediction.score, "image": _stamp(image)}
        with (self.folder / SCORES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels uint8 `[h, w]` and inconsistency bool `[h, w]`; UserError where there are none."""
        try:
            with np.load(self._path(name), allow_pickle=False) as file:
                labels, packed = file["labels"], file["inconsistency"]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"image {name!r}: {self.workdir.name} has no prediction for it yet; wait, or choose "
                "Predict all images in Train",
                code=ErrorCode.MISSING,
                field="name",
            ) from error
        return labels, np.unpackbits(packed, axis=-1, count=labels.shape[1]).astype(bool)

    def _path(self, name: str) -> Path:
        # Names of images may be longer than what a file system takes beside an ending.
        return self.folder / f"{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:32]}.npz"


def _stamp(path: Path) -> list[int]:
    """Changes when the file does."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_mtime_ns, status.st_size]


def main(workdir: Path, raw: Path) -> None:
    """Predict the images that have no prediction of the run yet, those without a mask first."""
    store, files = FolderStore(raw), PredictionFiles(workdir)
    done = files.read_scores(store)
    names = sorted((name for name in store.names if name not in done), key=store.has_mask)
    for name, prediction in zip(names, predict_images(workdir, store, names), strict=True):
        files.write(name, store.image_path(name), prediction)


if __name__ == "__main__":
    from imjax import processes

    processes.follow_parent()
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except UserError as problem:
        sys.exit(f"imjax: {problem}")
