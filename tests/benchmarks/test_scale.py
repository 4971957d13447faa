"""The benchmark of large sets, on sets of a moment."""

import csv
import json

import numpy as np

from benchmarks import scale


def test_a_set_is_streamed_from_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "SIZE", 16)
    monkeypatch.setattr(scale, "CHUNK", 8)
    scale.write_set(tmp_path, 20)
    examples = scale.open_set(str(tmp_path), 12)
    assert {name: array.shape for name, array in examples.items()} == {
        "image": (12, 16, 16, 3),
        "label": (12, 16, 16),
    }
    assert isinstance(examples["image"], np.memmap) and set(np.unique(examples["label"])) == {0, 1}
    found = scale.stream_set(str(tmp_path), "12", batch=4)
    assert found["images"] == 12 and found["peak_mib"] >= found["first_mib"] > 0


def test_copies_of_a_run_have_seeds_and_scores_of_their_own(tmp_path):
    run = tmp_path / "seed=0"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"config": {"seed": 0, "method": "ldt"}}))
    with (run / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("method", "seed", "value"), ("ldt", 0, "0.5")])
    scale.copy_run(run, tmp_path / "seed=3", 3)
    record = json.loads((tmp_path / "seed=3" / "config.json").read_text())
    assert record["config"] == {"seed": 3, "method": "ldt"}
    (row,) = csv.DictReader((tmp_path / "seed=3" / "results.csv").read_text().splitlines())
    assert row == {"method": "ldt", "seed": "3", "value": "0.515000"}
