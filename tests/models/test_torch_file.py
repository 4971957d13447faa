"""Files of PyTorch, written here without it; what no state dict needs is refused and does not run."""

import collections
import io
import os
import pickle
import sys
import types

import numpy as np
import pytest
from user_errors import raises_user_error

from imjax.errors import ErrorCode
from imjax.models.torch_file import MAGIC, read_state_dict


class Storage(collections.UserList):
    """What a pickle has of a tensor's numbers."""


class Tensor:
    """Pickled as PyTorch's are."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (*self.arguments, False, {})


class Pickler(pickle.Pickler):
    def persistent_id(self, item):
        if isinstance(item, Storage):
            return "storage", sys.modules["torch"].FloatStorage, item[0], "cpu", len(item[1]), None
        return None


def module(name, **names):
    """A module in which the pickler finds these names."""
    made = types.ModuleType(name)
    for key, value in names.items():
        value.__module__, value.__qualname__, value.__name__ = name, key, key
        setattr(made, key, value)
    return made


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Contents of the dict and its storages → the file's path."""
    monkeypatch.setitem(sys.modules, "torch", module("torch", FloatStorage=type("FloatStorage", (), {})))
    rebuild = module("torch._utils", _rebuild_tensor_v2=lambda *_: None)
    monkeypatch.setitem(sys.modules, "torch._utils", rebuild)

    def write(content, storages=()):
        file = io.BytesIO()
        for part in (MAGIC, 1001, {}, content, [key for key, _ in storages]):
            Pickler(file, 2).dump(part)
        for _, numbers in storages:
            file.write(len(numbers).to_bytes(8, "little") + np.asarray(numbers, "<f4").tobytes())
        (path := tmp_path / "weights.pth").write_bytes(file.getvalue())
        return path

    return write


def test_tensors_are_views_of_storages(write):
    a, b = Storage(("7", range(6))), Storage(("3", range(10, 13)))
    content = collections.OrderedDict(whole=Tensor(a, 0, (2, 3), (3, 1)), turned=Tensor(a, 1, (2, 2), (1, 3)))
    content["scalar"] = Tensor(b, 2, (), ())
    found = read_state_dict(write(content, [("3", b[1]), ("7", a[1])]))
    np.testing.assert_array_equal(found["whole"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(found["turned"], [[1, 4], [2, 5]])
    assert found["scalar"] == 12 and found["whole"].dtype == np.float32


class Command:
    """A pickle that runs a command when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_code_in_a_pickle_does_not_run(write, tmp_path):
    path = write({"x": Command(tmp_path / "ran")})
    with raises_user_error(ErrorCode.UNREADABLE, path) as info:
        read_state_dict(path)
    assert "system" in str(info.value) and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("tensor", [(0, (2, 4), (4, 1)), (0, (2,), (-1,)), (5, (2,), (1,))])
def test_tensors_outside_their_storage_are_refused(write, tensor):
    path = write({"x": Tensor(Storage(("0", range(6))), *tensor)}, [("0", range(6))])
    with raises_user_error(ErrorCode.UNREADABLE, path):
        read_state_dict(path)


@pytest.mark.parametrize("cut", [0, 5, 40, -3])
def test_cut_off_files(write, cut):
    path = write({"x": Tensor(Storage(("0", range(6))), 0, (6,), (1,))}, [("0", range(6))])
    path.write_bytes(path.read_bytes()[:cut])
    with raises_user_error(ErrorCode.UNREADABLE, path):
        read_state_dict(path)
