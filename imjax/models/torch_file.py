"""Weights in files that PyTorch wrote, without PyTorch and without running what a pickle may hold."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from imjax.errors import ErrorCode, file_error

MAGIC = 0x1950A86A20F9469CFC6C
"""First number of a file in the format that `torch.save` had before version 1.6."""
DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
"""Class of a storage → type of its numbers."""


class _Tensor(NamedTuple):
    """Where a tensor's numbers are."""

    storage: str
    """Key of its storage."""
    offset: int
    """Its first number there."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """In numbers, not in bytes."""


class _Refused(pickle.UnpicklingError):
    """The file asks for something that a state dict has no need of."""


class _Unpickler(pickle.Unpickler):
    """Knows ordered dicts, tensors and storages, the latter two as stand-ins; refuses all other names."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.dtypes: dict[str, str] = {}
        """Type of the numbers of every storage that was met, by its key."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _describe_tensor
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise _Refused(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> str:
        """A storage: ("storage", its class, its key, device, size, view) → its key."""
        _, dtype, key, *_ = pid
        self.dtypes[key] = dtype
        return key


def _describe_tensor(storage: str, offset: int, shape: tuple, strides: tuple, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Weights of a module by name.

    The format is that of PyTorch before 1.6: pickles of a magic number, a version and the machine's sizes; of
    the dict, whose tensors refer to storages; of the storages' keys; then the storages in that order, each as
    an 8-byte count and its numbers.

    Args:
        path: what `torch.save(module.state_dict())` wrote.

    Returns:
        float32 or int64 arrays in PyTorch's layout.

    Raises:
        UserError: the file cannot be read, is of another format, is cut off, or its pickle names anything
            but what a state dict needs.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (
        OSError,
        pickle.UnpicklingError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        EOFError,
    ) as error:
        raise file_error(
            path,
            f"no weights of PyTorch can be read ({error}); expected the package's file: install that again",
            ErrorCode.UNREADABLE,
        ) from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    if _Unpickler(file).load() != MAGIC:
        raise ValueError("another format")
    for _ in ("version", "sizes"):
        _Unpickler(file).load()
    of_dict = _Unpickler(file)
    tensors, keys = of_dict.load(), _Unpickler(file).load()
    storages = {}
    for key in keys:
        count, dtype = int.from_bytes(file.read(8), "little"), np.dtype(of_dict.dtypes[key])
        # Not by the count alone: a damaged one could ask for more memory than there is.
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return {name: _view(storages[tensor.storage], tensor) for name, tensor in tensors.items()}


def _view(storage: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """The tensor as an array of its own."""
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if tensor.offset < 0 or min(tensor.strides, default=0) < 0 or last >= len(storage):
        raise ValueError("a tensor reaches beyond its numbers")
    strides = tuple(step * storage.itemsize for step in tensor.strides)
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides).copy()
