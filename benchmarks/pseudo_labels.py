"""Pseudo-labels by two nets: imjax's labeling stage beside one prediction per image and net.

  python -m benchmarks.pseudo_labels

Peers do what the published code does, image by image: a prediction per net, the inconsistency mask by NumPy,
image and label blocked. With `files` each image is read from PNG and its pair written as PNG, as there.
"""

from __future__ import annotations

from absl import flags

from benchmarks import common, table
from benchmarks.worker import Worker
from imjax import cli

FLAGS = flags.FLAGS
SIZES, QUICK = (128, 256), (32,)
PEERS = (
    ("Keras, model.predict, files", {"how": "predict", "files": True}),
    ("Keras, model(x), files", {"how": "call", "files": True}),
    ("Keras, predict_on_batch, files", {"how": "predict_on_batch", "files": True}),
    ("Keras, predict_on_batch, in memory", {"how": "predict_on_batch", "files": False}),
    ("PyTorch, files", {"how": "torch", "files": True}),
)


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    common.define_flags()
    flags.DEFINE_integer("images", 128, "Images that imjax labels in one go.")
    flags.DEFINE_float("alpha", 1.0, "Width of the nets.")


def main(_: list[str]) -> None:
    """Measure, print the table and the JSON line."""
    common.check()
    found = []
    for size in common.sizes(SIZES, QUICK):
        found += common.hold(f"{size}², 2 nets", entrants(size))
    table.publish("pseudo_labels", found, table.lines(found), alpha=FLAGS.alpha)


def entrants(size: int) -> list[Worker]:
    """Everyone who takes part at a size."""
    shape = {"size": size, "members": 2, "alpha": FLAGS.alpha}
    count = 8 if FLAGS.quick else FLAGS.images
    ours = Worker("imjax", "benchmarks.ours:Labeling", shape | {"images": count}, ours=True)
    serial = "benchmarks.peers_serial:Labeling"
    return [ours, *(Worker(name, serial, shape | {"images": 8} | more) for name, more in PEERS)]


if __name__ == "__main__":
    define_flags()
    cli.run(main)
