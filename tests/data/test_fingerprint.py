"""Files that change: originals while they are packed, and packed arrays while a run uses them."""

from __future__ import annotations

import os

from user_errors import raises_user_error

from imjax.config.schema import Data, Synthetic
from imjax.data import fingerprint, pack
from imjax.errors import ErrorCode

SMALL = Data("synthetic", height=32, width=48, synthetic=Synthetic(10, 3, 2))


def test_files_that_change_while_they_are_read(suim_raw, tmp_path):
    options = Data("suim", str(suim_raw), height=32, width=32, random_crops=2)

    def while_it_reads(change):
        def progress(items, what):
            yield from items
            change(next((suim_raw / "TEST" / "images").iterdir()))

        with raises_user_error(ErrorCode.CHANGED, suim_raw):
            pack.prepare_dataset(options, tmp_path / "cache", progress)
        assert list((tmp_path / "cache").iterdir()) == []

    while_it_reads(lambda path: os.utime(path, (0, 0)))
    while_it_reads(lambda path: path.unlink())


def test_arrays_that_change_under_a_run(tmp_path):
    packed = pack.load_packed(pack.prepare_dataset(SMALL, tmp_path))
    fingerprint.check_unchanged(packed.stamps)
    path = max(packed.stamps)
    os.utime(path, (0, 0))
    with raises_user_error(ErrorCode.CHANGED, path):
        fingerprint.check_unchanged(packed.stamps)
    path.unlink()
    with raises_user_error(ErrorCode.CHANGED, path):
        fingerprint.check_unchanged(packed.stamps)
