"""A run's folder made by hand: tiny nets with drawn weights, so that nothing needs training."""

import dataclasses
import json

import jax
import numpy as np

from imjax.config.schema import Mask
from imjax.data.spec import DatasetSpec
from imjax.inference.checksums import compute_checksums
from imjax.models.unet_dropout import UNetDropout
from imjax.training.checkpoints import save_nets

MODEL = {
    "backbone": "unet_dropout", "weights": "none", "width": 1.0, "width_per_generation": (1.0, 2.0),
    "dropout": 0.0, "features": (4, 8),
    "dropouts": (0.0, 0.0), "momentum": 0.9, "dtype": "float32", "convolution": "auto",
    "auxiliary": "decoders",
}  # fmt: skip
MASK = dataclasses.asdict(Mask())
PALETTE = ((255, 255, 255), (40, 40, 40), (230, 80, 60), (70, 120, 230))


def spec(kind, classes, **facts):
    return DatasetSpec("toy", "Toy", kind, classes, PALETTE[: len(classes)], **facts)


SPECS = {
    "binary": spec("binary", ("cell",), channels=1),
    "multiclass": spec("multiclass", ("ground", "ring", "core"), background=True),
    "reserved": spec("multiclass", ("inconsistent", "sky", "sea, deep", "sand"), reserved=True),
    "multilabel": spec("multilabel", ("alive", "dead/gone"), rotation_invariant=True),
}


def net(outputs, width=1.0):
    """The module that `MODEL` stands for."""
    return UNetDropout(outputs, tuple(int(n * width) for n in MODEL["features"]), MODEL["dropouts"])


def variables(seed, spec, size, count, width=1.0):
    """Drawn weights of nets, numpy leaves `[count, ...]`; statistics as for mean 0 and variance 1."""
    image = jax.ShapeDtypeStruct((1, *size, spec.channels), np.uint8)
    shapes = jax.eval_shape(net(spec.outputs, width).init, jax.random.key(0), image)
    draw = np.random.default_rng(seed)

    def fill(path, leaf):
        shape, name = (count, *leaf.shape), path[-1].key
        if name in ("var", "scale"):
            return np.ones(shape, np.float32)
        return draw.normal(0, 1 if name == "kernel" else 0.3, shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def make_run(workdir, spec, stages=("train_ldt", "train_g0"), size=(8, 8), nets=2, method="im", **values):
    """Write a run's folder; in the ranking the last net is best. `values` replace those of the config."""
    config = {
        "method": method, "model": MODEL, "mask": MASK, "eval_batch_size": 3,
        "data": {
            "height": size[0], "width": size[1], "random_crops": 0, "tile_overlap": 0.0,
            "depth": 0, "resize_mode": "resize", "percentile_normalize": False, "pages": "auto",
            "alpha": "drop", "orientation": "apply", "nodata": "auto",
            "value_scaling": "image", "dir": "/no/such/folder",
        },
        "joint": {"patch": (), "predict_overlap": 0.5},
    }  # fmt: skip
    record = {"config": config | values, "spec": dataclasses.asdict(spec)}
    workdir.mkdir(parents=True)
    (workdir / "config.json").write_text(json.dumps(record))
    for number, name in enumerate(stages):
        folder = workdir / "stages" / f"{number:02d}_{name}"
        folder.mkdir(parents=True)
        save_nets(folder / "nets", variables(number, spec, size, nets))
        # IM+ grows from generation to generation.
        width = (
            MODEL["width_per_generation"][int(name[-1])] if method == "im_p" and name[-1].isdigit() else 1.0
        )
        model = MODEL | {"width": width, "width_per_generation": ()}
        train = {"model": model, "auxiliary_decoders": 0, "trained": nets, "ranked": list(range(nets))[::-1]}
        (folder / "train.json").write_text(json.dumps(train))
        done = {"digest": "d", "files": compute_checksums(folder)}
        (folder / "DONE.json").write_text(json.dumps(done))
    return workdir
