from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imjax.data.loader import ShuffledOrder, stream_batches

ORDER = ShuffledOrder(seed=0, stream="batches", n=10, batch=4, ids=(2, 1))


def test_every_pass_holds_every_image_once():
    flat = ORDER.block(0, 15).ravel()  # 60 positions: six passes
    passes = flat.reshape(6, 10)
    assert flat.dtype == np.int32 and (np.sort(passes, axis=1) == np.arange(10)).all()
    assert len({tuple(order) for order in passes}) == 6


def test_a_step_does_not_depend_on_where_one_starts():
    whole = ORDER.block(0, 9)
    for step in range(9):
        assert (ORDER.indices(step) == whole[step]).all()
    assert (ORDER.block(5, 4) == whole[5:]).all()
    assert ORDER.block(3, 0).shape == (0, 4)


def test_batch_may_exceed_the_set():
    order = ShuffledOrder(seed=0, stream="s", n=3, batch=8)
    counts = np.bincount(order.indices(0), minlength=3)
    assert counts.sum() == 8 and counts.min() >= 2


@pytest.mark.parametrize("other", [{"seed": 1}, {"stream": "x"}, {"ids": (2, 0)}, {"ids": (1, 2)}])
def test_orders_differ(other):
    fields = {"seed": 0, "stream": "batches", "n": 10, "batch": 4, "ids": (2, 1)}
    assert (ShuffledOrder(**{**fields, **other}).block(0, 5) != ORDER.block(0, 5)).any()


def test_empty_set_is_refused():
    with pytest.raises(ValueError, match="n = 0"):
        ShuffledOrder(seed=0, stream="s", n=0, batch=4)


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("start", [0, 7])
def test_stream_equals_gather(tmp_path, threads, start):
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8))
    images, labels = np.load(tmp_path / "images.npy", mmap_mode="r"), np.arange(10, dtype=np.uint8)
    examples = {"image": images, "label": labels}
    steps = range(start, start + 6)
    batches = list(stream_batches(examples, ORDER.indices, steps, threads=threads))
    assert len(batches) == 6
    for step, batch in zip(steps, batches, strict=True):
        assert type(batch["image"]) is np.ndarray and batch["counted"].all()
        np.testing.assert_array_equal(batch["image"], images[ORDER.indices(step)])
        np.testing.assert_array_equal(batch["label"], labels[ORDER.indices(step)])


def test_stream_pads_and_takes_indices_per_member():
    chosen = np.array([[0, 9, -1], [3, 3, 2]])
    (batch,) = stream_batches({"label": np.arange(10)}, lambda step: chosen + step - 5, range(5, 6))
    np.testing.assert_array_equal(batch["counted"], [[True, True, False], [True, True, True]])
    np.testing.assert_array_equal(batch["label"][batch["counted"]], [0, 9, 3, 3, 2])


def test_stream_can_be_left_early_and_be_empty():
    batches = stream_batches({"label": np.arange(10)}, ORDER.indices, range(100))
    next(batches)
    batches.close()
    assert list(stream_batches({"label": np.arange(10)}, ORDER.indices, range(0))) == []


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux tells what of a file is in memory")
def test_streaming_a_file_keeps_nothing_of_it_in_the_process(tmp_path):
    """Otherwise the process would grow to the size of the set."""
    np.save(tmp_path / "images.npy", np.zeros((64, 64, 64, 3), np.uint8))
    examples = {"image": np.load(tmp_path / "images.npy", mmap_mode="r")[:60]}
    order = ShuffledOrder(seed=0, stream="batches", n=60, batch=8)

    def mapped():
        text = Path("/proc/self/smaps").read_text().split(str(tmp_path / "images.npy"))[1]
        return int(text.split("Rss:")[1].split()[0])

    assert examples["image"].sum() == 0 and mapped() > 500
    for _ in stream_batches(examples, order.indices, range(10), threads=0):
        pass
    assert mapped() == 0
    # Changes to a map are memory, not a file's copy: they stay.
    own = np.load(tmp_path / "images.npy", mmap_mode="c")
    own[:] = 7
    list(stream_batches({"image": own}, order.indices, range(2), threads=0))
    assert (own == 7).all()
