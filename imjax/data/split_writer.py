"""Writing the arrays of a packed set image by image, so that no set needs to fit in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from imjax.config.schema import Data
from imjax.data.readers.base import Sample
from imjax.data.spec import VOID, DatasetSpec


def label_counts(label: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """Pixels of each value of a label, int64 `[256]`; of multilabel, by channel, VOID where any is."""
    if spec.kind != "multilabel":
        return np.bincount(label.ravel(), minlength=256)
    counts = np.zeros(256, np.int64)
    counts[: label.shape[-1]] = (label == 1).sum(axis=tuple(range(label.ndim - 1)))
    counts[VOID] = (label == VOID).any(axis=-1).sum()
    return counts


def label_names(spec: DatasetSpec) -> dict[int, str]:
    """What the entries of `label_counts` are called."""
    classes = spec.classes if len(spec.classes) > 1 else ("background", *spec.classes)
    return dict(enumerate(classes)) | {VOID: "void"}


class SplitWriter:
    """Two growing .npy files, or three, and what the manifest says of them.

    Plain writes, not a memory map: a full disk is then an exception and not a bus error.
    """

    def __init__(
        self, folder: Path, data: Data, spec: DatasetSpec, samples: list[Sample], has_instances: bool = False
    ) -> None:
        folder.mkdir()
        self.names: list[str] = []
        self.sources: list[str] = []
        self.files: list[str] = []
        planes = (len(spec.classes),) if spec.kind == "multilabel" else ()
        # Only the images know how many crops a grid makes of them, and stacks how many slices they have: a
        # first guess, which `finish` corrects.
        n, size = len(samples) * max(data.random_crops, 1), data.box
        self.images = ArrayWriter(folder / "images.npy", (n, *size, spec.channels))
        self.labels = ArrayWriter(folder / "labels.npy", (n, *size, *planes))
        self.instances = (
            ArrayWriter(folder / "instances.npy", (n, *size), np.uint16) if has_instances else None
        )
        self.spec, self.counts = spec, np.zeros(256, np.int64)

    def add(
        self,
        name: str,
        source: str,
        file: str,
        image: np.ndarray,
        label: np.ndarray,
        instances: np.ndarray | None = None,
    ) -> None:
        """Append a packed pair; OSError on a full disk.

        Args:
            name: of the image, slice or crop.
            source: of the image, see `Sample`.
            file: of the image, see `pack.Split`.
            image, label: uint8 of the packed shape.
            instances: uint16, numbers of objects, where the split has them.
        """
        if self.instances is not None:
            assert instances is not None, "a split has numbers of objects for all of its images or for none"
            self.instances.add(instances)
        self.images.add(image)
        self.labels.add(label)
        self.counts += label_counts(label, self.spec)
        self.names.append(name)
        self.sources.append(source)
        self.files.append(file)

    def finish(self) -> None:
        """Make the files whole, once everything is added; OSError on a full disk."""
        for writer in self._arrays().values():
            writer.finish()

    def close(self) -> None:
        """Close the files; harmless when called twice."""
        for writer in self._arrays().values():
            writer.file.close()

    def _arrays(self) -> dict[str, ArrayWriter]:
        """The files by what they hold."""
        arrays = {"images": self.images, "labels": self.labels}
        return arrays if self.instances is None else arrays | {"instances": self.instances}

    def facts(self) -> dict[str, Any]:
        """The split's entry in the manifest: counts, shapes, class pixels and shares, checksums, names."""
        pixels = {name: int(self.counts[i]) for i, name in label_names(self.spec).items()}
        total = max(int(np.prod(self.labels.shape[: 1 + self.spec.dims])), 1)
        return {
            "count": len(self.names),
            "shapes": {name: writer.shape for name, writer in self._arrays().items()},
            "pixels": pixels,
            "shares": {name: round(n / total, 6) for name, n in pixels.items()},
            "sha256": {name: writer.hash.hexdigest() for name, writer in self._arrays().items()},
            "names": self.names,
            "sources": self.sources,
            "files": self.files,
        }


class ArrayWriter:
    """One .npy file of whole numbers written array by array, hashed on the way.

    `shape[0]` is how many are expected; where it turns out otherwise, `finish` rewrites the header.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: type[np.unsignedinteger] = np.uint8
    ) -> None:
        self.shape, self.count, self.hash = shape, 0, hashlib.sha256()
        # The same bytes on every machine.
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.file = path.open("w+b")
        self.start = self._write_header()
        self.file.seek(0)
        self.hash.update(self.file.read())

    def add(self, array: np.ndarray) -> None:
        assert array.dtype == self.dtype and array.shape == self.shape[1:], (
            array.dtype,
            array.shape,
            self.shape,
        )
        data = array.astype(self.dtype, copy=False).tobytes()
        self.file.write(data)
        self.hash.update(data)
        self.count += 1

    def finish(self) -> None:
        """Put the true number of arrays into the file; the hash begins with it and is then taken anew."""
        if self.count == self.shape[0]:
            return
        self.shape = (self.count, *self.shape[1:])
        # numpy pads the header so that the first axis may grow.
        start = self._write_header()
        assert start == self.start, (start, self.start)
        self.file.seek(0)
        self.hash = hashlib.file_digest(self.file, "sha256")

    def _write_header(self) -> int:
        """Write the header at the start of the file; returns where the data begin."""
        self.file.seek(0)
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(self.file, header)
        return self.file.tell()
