"""Files that change: originals while they are packed, and packed arrays while a run uses them."""

from __future__ import annotations

import os

import pytest

from imjax.config.schema import Data, Synthetic
from imjax.data import fingerprint, pack
from imjax.errors import UserError

SMALL = Data("synthetic", height=32, width=48, synthetic=Synthetic(10, 3, 2))


def test_files_that_change_while_they_are_read(suim_raw, tmp_path):
    options = Data("suim", str(suim_raw), height=32, width=32, random_crops=2)

    def while_it_reads(change):
        def progress(items, what):
            yield from items
            change(next((suim_raw / "TEST" / "images").iterdir()))

        with pytest.raises(UserError, match="files changed while they were read"):
            pack.prepare_dataset(options, tmp_path / "cache", progress)
        assert list((tmp_path / "cache").iterdir()) == []

    while_it_reads(lambda path: os.utime(path, (0, 0)))
    while_it_reads(lambda path: path.unlink())


def test_arrays_that_change_under_a_run(tmp_path):
    packed = pack.load_packed(pack.prepare_dataset(SMALL, tmp_path))
    fingerprint.check_unchanged(packed.stamps)
    path = max(packed.stamps)
    os.utime(path, (0, 0))
    with pytest.raises(UserError, match=f"{path}: changed while the run used it.*delete the folder"):
        fingerprint.check_unchanged(packed.stamps)
    path.unlink()
    with pytest.raises(UserError, match="changed while the run used it"):
        fingerprint.check_unchanged(packed.stamps)
