"""What goes to TensorBoard beside metrics.jsonl, and what to TensorBoard alone."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from imjax.training import metric_writer, progress
from imjax.training.progress import StageLogger


@pytest.fixture
def events(monkeypatch):
    """(step, tag, value) of every event."""
    written = []

    class Events:
        def write_scalars(self, step, values):
            written.extend((step, *item) for item in values.items())

        def flush(self):
            pass

        close = flush

    monkeypatch.setattr(metric_writer, "_events", lambda folder: Events())
    return written


def read_names(folder):
    return [json.loads(line)["name"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_generation_is_a_point_of_one_curve(tmp_path, events):
    writer = metric_writer.Writer(tmp_path)
    writer.scalar("train_ldt", None, 0, "test", "miou", 0.3)
    for generation, value in enumerate((0.4, 0.5)):
        writer.scalar(f"train_g{generation}", generation, 0, "test", "miou", value)
        writer.scalar(f"train_g{generation}", generation, 9, "val", "loss", 0.1, member=0)
    writer.close()
    assert [e for e in events if e[1].startswith("generations/")] == [
        (0, "generations/test/miou", 0.4),
        (1, "generations/test/miou", 0.5),
    ]
    assert read_names(tmp_path) == ["miou", "miou", "loss", "miou", "loss"]


def test_speed_and_learning_rate_are_events_only(tmp_path, events, monkeypatch):
    monkeypatch.setattr(progress, "LEAST_SECONDS", 0)
    writer = metric_writer.Writer(tmp_path)
    monitor = StageLogger(writer, "train_ldt", "1/1", None, lambda: False)
    with monitor.stage_progress(0, 4, 8) as shown:
        for step in range(1, 5):
            shown.update(step, 0)
        monitor.epoch(1, 4, {"val": {"loss": np.array([0.5, math.nan])}})
        monitor.learning_rate(4, 0.1)
        monitor.learning_rate(4, None)
    writer.close()
    assert [(step, tag) for step, tag, _ in events] == [
        (4, "train_ldt/val/loss/0"),
        (4, "train_ldt/train/images_per_second"),
        (4, "train_ldt/train/learning_rate"),
    ]
    assert all(math.isfinite(value) and value > 0 for _, _, value in events)
    # These are compared byte for byte between a stopped and a whole run.
    assert read_names(tmp_path) == ["loss", "loss"]
