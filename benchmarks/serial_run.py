"""A whole run of Inconsistency Masks as one would write it on Keras, with files between its stages.

  python -m benchmarks.serial_run --data=PNGS --out=DIR --settings='{"size": 64, …}'

Candidates are trained one after another; the best two label image by image; their blocked pairs are PNG files
that the next generation reads. `benchmarks.whole_run` starts it, and writes `PNGS`:
`{labeled,unlabeled,val,test}/<number>_{image,label}.png`.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import peers_keras
from benchmarks.peers_serial import block

FLAGS = flags.FLAGS
Pairs = tuple[np.ndarray, np.ndarray]


def define_flags() -> None:
    """Declare this command's flags."""
    flags.DEFINE_string("data", None, "Folder of the four splits as PNG.", required=True)
    flags.DEFINE_string("out", None, "Folder to write to.", required=True)
    flags.DEFINE_string("settings", None, "JSON, see `whole_run.settings`.", required=True)


def main(_: list[str]) -> None:
    """The run."""
    given, out, source = json.loads(FLAGS.settings), Path(FLAGS.out), Path(FLAGS.data)
    labeled = read(source / "labeled")
    best = train_candidates("start", given, labeled, out)
    for generation in range(given["generations"]):
        folder = out / f"pairs_{generation}"
        label_all(best, given, source / "unlabeled", folder)
        pairs = [np.concatenate(part) for part in zip(read(folder), labeled, strict=True)]
        best = train_candidates(f"generation {generation}", given, tuple(pairs), out)
    net = peers_keras.unet(given["size"], given["outputs"], given["alpha"], given["momentum"])
    net.load_weights(best[0])
    images, _ = read(source / "test")
    np.save(out / "test.npy", net.predict(images, verbose=0).argmax(-1).astype(np.uint8))


def read(folder: Path) -> Pairs:
    """All pairs of a folder: RGB images uint8 `[n, h, w, 3]` and labels uint8 `[n, h, w]`."""
    paths = sorted(folder.glob("*_image.png"))
    images = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]
    names = [str(path).replace("_image", "_label") for path in paths]
    return np.stack(images), np.stack([cv2.imread(name, cv2.IMREAD_GRAYSCALE) for name in names])


def train_candidates(stage: str, given: dict[str, Any], pairs: Pairs, out: Path) -> list[Path]:
    """Train and measure the candidates; files of their best epochs' weights, best on val first."""
    found = []
    source = Path(FLAGS.data)
    val, test = read(source / "val"), read(source / "test")
    for candidate in range(given["candidates"]):
        keras.utils.clear_session()
        keras.utils.set_random_seed(candidate)
        net = peers_keras.unet(given["size"], given["outputs"], given["alpha"], given["momentum"])
        keep = BestEpoch(val, out / f"{stage} {candidate}.weights.h5")
        batches = tf.data.Dataset.from_tensor_slices(pairs).shuffle(len(pairs[0]), seed=candidate)
        batches = batches.repeat().batch(given["batch"]).prefetch(2)
        peers_keras.compiled(net, "auto").fit(
            batches, epochs=given["epochs"], steps_per_epoch=given["steps"], callbacks=[keep], verbose=0
        )
        net.load_weights(keep.path)
        measure(out / "results.csv", [stage, candidate], net, {"val": val, "test": test})
        found.append((keep.value, keep.path))
    return [path for _, path in sorted(found, reverse=True)]


class BestEpoch(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the best soft mIoU on val."""

    def __init__(self, val: Pairs, path: Path):
        super().__init__()
        self._val, self.path, self.value = val, path, -1.0

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        images, labels = self._val
        said = self.model.predict(images, verbose=0)
        truth = np.eye(said.shape[-1], dtype=np.float32)[labels]
        both, either = (said * truth).sum((0, 1, 2)), (said + truth - said * truth).sum((0, 1, 2))
        value = float((both / either)[truth.any((0, 1, 2))].mean())
        if value > self.value:
            self.value = value
            self.model.save_weights(self.path)


def measure(path: Path, head: list, net: keras.Model, splits: dict[str, Pairs]) -> None:
    """Append a net's IoU of each class on each split to a table."""
    with path.open("a", newline="") as file:
        for name, (images, labels) in splits.items():
            said = net.predict(images, verbose=0).argmax(-1)
            for k in range(int(labels.max()) + 1):
                either = ((said == k) | (labels == k)).sum()
                value = ((said == k) & (labels == k)).sum() / max(either, 1)
                csv.writer(file).writerow([*head, name, k, value])


def label_all(best: list[Path], given: dict[str, Any], source: Path, folder: Path) -> None:
    """Label every image of a folder by the best nets and write the blocked pairs to another."""
    folder.mkdir()
    nets = []
    for path in best[: given["members"]]:
        net = peers_keras.unet(given["size"], given["outputs"], given["alpha"], given["momentum"])
        net.load_weights(path)
        nets.append(net)
    for path in sorted(source.glob("*_image.png")):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        said = [peers_keras.label(net, image, given["how"]) for net in nets]
        image, label = block(image, said)
        cv2.imwrite(str(folder / path.name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(folder / path.name.replace("_image", "_label")), label)


if __name__ == "__main__":
    define_flags()
    app.run(main)
