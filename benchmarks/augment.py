"""Augmented copies of pairs: imjax's, in batches on the device, beside OpenCV and NumPy image by image.

  python -m benchmarks.augment

Both draw flips, right-angle turns, gain and offset, blur and noise from the same distributions.
"""

from __future__ import annotations

from absl import flags

from benchmarks import common, table
from benchmarks.worker import Worker
from imjax import cli

FLAGS = flags.FLAGS
SIZES, QUICK = (128, 256), (32,)
STRENGTHS = {
    "strong": (3, 25, 0.5, 25.0),
    "first generation": (0, 5, 0.1, 5.0),
}
"""max_blur, max_noise, gain, offset: of ALDT, the last generation and SUIM's first (methods.md 1.7)."""


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    common.define_flags()
    flags.DEFINE_integer("images", 256, "Pairs that imjax augments in one go.")


def main(_: list[str]) -> None:
    """Measure, print the table and the JSON line."""
    common.check()
    found = []
    for size in common.sizes(SIZES, QUICK):
        for name, strength in STRENGTHS.items():
            found += common.hold(f"{size}², {name}", entrants(size, strength))
    table.publish("augment", found, table.lines(found))


def entrants(size: int, strength: tuple) -> list[Worker]:
    """Everyone who takes part in a case."""
    shape = {"size": size, "strength": strength}
    count = 16 if FLAGS.quick else FLAGS.images
    ours = Worker("imjax", "benchmarks.ours:Augmenting", shape | {"images": count}, ours=True)
    serial = "benchmarks.peers_serial:Augmenting"
    peers = {"OpenCV, files": True, "OpenCV, in memory": False}
    return [ours, *(Worker(name, serial, shape | {"files": files}) for name, files in peers.items())]


if __name__ == "__main__":
    define_flags()
    cli.run(main)
