"""What a user would otherwise pick: a plain pretrained PyTorch U-Net on a configuration's labeled images.

  python -m benchmarks.pretrained --config=configs/isic2018_ldt.py:small --config.data.dir=ISIC2018 \\
    --config.data.height=64 --config.data.width=64 --steps=600

It sees the same packed images and splits, chooses its epoch on val and is measured on test by imjax's own
metrics. Multilabel sets and volumes are left out.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from absl import flags

from benchmarks import table
from imjax import cli
from imjax.config.constraints import check
from imjax.config.convert import freeze
from imjax.data import pack
from imjax.data.pack import PackedDataset
from imjax.errors import ErrorCode, UserError
from imjax.training import evaluate

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    cli.define_config()
    flags.DEFINE_list("seeds", ["0"], "Seeds of the net; each gives a row.")
    flags.DEFINE_integer("steps", 600, "Optimizer steps.")
    flags.DEFINE_integer("batch", 8, "Images of a step.")
    flags.DEFINE_float("rate", 1e-3, "Highest learning rate.")
    flags.DEFINE_bool("pretrained", True, "Start the encoder from ImageNet.")


def main(_: list[str]) -> None:
    """Train, print a line per seed and the whole as JSON."""
    dataset = _load()
    rows = []
    for seed in map(int, FLAGS.seeds):
        started = time.perf_counter()
        figures = measure(dataset, seed)
        rows.append(figures | {"seed": seed, "seconds": round(time.perf_counter() - started, 1)})
        table.say(str(rows[-1]))
    print(
        json.dumps({"dataset": dataset.spec.name, "steps": FLAGS.steps, "batch": FLAGS.batch, "rows": rows})
    )


def _load() -> PackedDataset:
    if FLAGS.config is None:
        raise UserError("--config is missing", code=ErrorCode.MISSING, field="--config")
    data = check(freeze(FLAGS.config.to_dict())).data
    dataset = pack.load_packed(pack.prepare_dataset(data, Path(data.cache or pack.default_cache())))
    if dataset.spec.kind == "multilabel" or dataset.spec.dims == 3:
        raise UserError(
            f"--config: {dataset.spec.title}; the peer has images of one label per pixel only, expected "
            "another set",
            code=ErrorCode.CONFLICT,
            field="--config",
        )
    return dataset


def measure(dataset: PackedDataset, seed: int) -> dict[str, float]:
    """The primary metric of the peer on val and test."""
    # Here, so that --help needs no PyTorch.
    from benchmarks.peers_pretrained import Peer

    spec, labeled = dataset.spec, dataset.splits["labeled"]

    def value(peer: Peer, split: str) -> float:
        part = dataset.splits[split]
        prediction = peer.predict(part.images)
        found = evaluate.figures(spec, truth=part.labels, prediction=prediction, names=part.names)
        return found[spec.primary_metric, ""]

    invariant = spec.rotation_invariant
    outputs = max(spec.outputs, 2)
    peer = Peer(labeled.images, labeled.labels, outputs, invariant, seed, FLAGS.pretrained)
    val = peer.fit(FLAGS.steps, FLAGS.batch, FLAGS.rate, 20, lambda net: value(net, "val"))
    return {"val": val, "test": value(peer, "test")}


if __name__ == "__main__":
    define_flags()
    cli.run(main)
