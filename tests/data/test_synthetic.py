from __future__ import annotations

from pathlib import Path

import numpy as np
from user_errors import raises_user_error

from imjax.data.synthetic import scenes as synthetic
from imjax.data.synthetic import writers
from imjax.errors import ErrorCode


def scenes(reader: synthetic.Synthetic, part: str = "train"):
    pairs = [reader.load(sample) for sample in reader.scan(Path())[part]]
    return np.stack([image for image, _ in pairs]), np.stack([label for _, label in pairs])


def test_counts_shapes_and_classes():
    reader = synthetic.Synthetic(40, 3, 2, size=(48, 64))
    assert {part: len(found) for part, found in reader.scan(Path()).items()} == {
        "train": 40,
        "val": 3,
        "test": 2,
    }
    images, labels = scenes(reader)
    assert images.shape == (40, 48, 64, 3) and labels.shape == (40, 48, 64)
    assert set(np.unique(labels)) == {1, 2, 3, 4}
    assert 0.5 < (labels == synthetic.BACKGROUND).mean() < 0.9


def test_scenes_depend_on_seed_and_name_only():
    images, labels = scenes(synthetic.Synthetic(4, 4, 0))
    again = scenes(synthetic.Synthetic(6, 0, 0))
    assert (images == again[0][:4]).all() and (labels == again[1][:4]).all()
    assert (images != scenes(synthetic.Synthetic(4, 4, 0), "val")[0]).mean() > 0.9
    assert (images != scenes(synthetic.Synthetic(4, 4, 0, seed=1))[0]).mean() > 0.9
    assert (images[0] != images[1]).mean() > 0.9


def test_color_alone_does_not_segment():
    images, labels = scenes(synthetic.Synthetic(100, 0, 0))
    classes = range(1, 5)
    means = np.stack([images[labels == c].mean(axis=0) for c in classes])
    nearest = 1 + ((images[..., None, :].astype(float) - means) ** 2).sum(axis=-1).argmin(axis=-1)
    both = [((nearest == c) & (labels == c)).sum() / ((nearest == c) | (labels == c)).sum() for c in classes]
    assert 0.1 < np.mean(both) < 0.5  # mean IoU


def test_writer_refuses(tmp_path):
    with raises_user_error(ErrorCode.UNSUPPORTED, "--dataset"):
        writers.write_synthetic("isic", tmp_path / "new", {})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    with raises_user_error(ErrorCode.CONFLICT, tmp_path / "full"):
        writers.write_synthetic("suim", tmp_path / "full", {"train_val": 1, "test": 1})
