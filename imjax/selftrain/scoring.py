"""EvalNet stages: pairs with known quality from a start stage's candidates, and nets that learn it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from imjax import rng
from imjax.data.spec import DatasetSpec
from imjax.engine.checkpoints import load_nets, save_nets
from imjax.engine.images import over_images
from imjax.engine.monitor import Monitor
from imjax.engine.objective import scoring
from imjax.methods import evalnet
from imjax.ops import augment
from imjax.selftrain import sets
from imjax.selftrain.context import Context
from imjax.selftrain.plan import EvalNetStage, PairsStage
from imjax.selftrain.store import write_json
from imjax.selftrain.training import fit_stage


def make_pairs(stage: PairsStage, context: Context, out: Path, monitor: Monitor) -> dict[str, Any]:
    """Write `labelled.npz` and `val.npz` (fields of `evalnet.Pair`) to `out` (method.md 1.6).

    Returns:
        Facts for DONE.json.
    """
    facts = {}
    for split, passes in (("labelled", stage.pairs.passes), ("val", stage.pairs.val_passes)):
        pairs = _pairs(stage, context, split, passes)
        np.savez(out / f"{split}.npz", **pairs)
        facts[split] = len(pairs["image"])
    monitor.log(f"{facts['labelled']} pairs to learn from, {facts['val']} to validate on")
    return facts


def _pairs(stage: PairsStage, context: Context, split: str, passes: int) -> dict[str, np.ndarray]:
    data, settings, seed = context.packed.splits[split], stage.pairs, context.config.seed
    net = context.unet(context.store.stage(stage.nets).alpha)
    variables = load_nets(context.store.folder(stage.nets) / "nets")
    labels = context.predicted_labels(net, variables, data.images)
    parts = []
    for number in range(passes):
        draws = rng.numpy(seed, f"pairs/{split}", number)
        members = _draw_members(draws, labels, settings.fewest, settings.most)
        kernels = draws.choice(np.array(settings.kernels, np.int32), (len(data.images), 2))
        keys = jax.random.split(rng.key(seed, f"pairs/{split}", number), len(data.images))
        parts.append(
            over_images(
                _pair,
                np.asarray(jax.random.key_data(keys)),
                data.images,
                data.labels,
                members,
                kernels,
                shared=(sets.power(settings),),
                spec=context.packed.spec,
            )  # fmt: skip
        )
    return sets.join(*(part._asdict() for part in parts))


def _pair(
    strength: augment.Strength,
    key: jax.Array,
    image: jax.Array,
    truth: jax.Array,
    members: jax.Array,
    kernels: jax.Array,
    *,
    spec: DatasetSpec,
) -> evalnet.Pair:
    return evalnet.make_pair(
        jax.random.wrap_key_data(key), image, truth, members, kernels[0], kernels[1],
        spec=spec, strength=strength,
    )  # fmt: skip


def _draw_members(draws: np.random.Generator, labels: np.ndarray, fewest: int, most: int) -> np.ndarray:
    """Labels of `fewest` to `most` different candidates per image, `[n, most, ...]`, repeats filling up.

    A repeated member changes no consensus, so the number varies while the shape does not.
    """
    count, n = labels.shape[:2]
    most = min(most, count)
    chosen = np.argsort(draws.random((n, count)), 1)[:, :most]
    size = draws.integers(min(fewest, most), most + 1, (n, 1))
    chosen = np.where(np.arange(most) < size, chosen, chosen[:, :1])
    return labels[chosen, np.arange(n)[:, None]]


def train(stage: EvalNetStage, context: Context, out: Path, monitor: Monitor) -> dict[str, Any]:
    """Train EvalNets and write nets and ranking to `out`.

    Returns:
        Facts for DONE.json.
    """
    folder = context.store.folder(stage.pairs)
    learn, val = (dict(np.load(folder / f"{split}.npz")) for split in ("labelled", "val"))
    example = {name: array[:1] for name, array in val.items()}
    net = context.evalnet(stage.alpha)
    objective = scoring(net, context.packed.spec.kind == "binary", example)
    fitted = fit_stage(stage, context, objective, learn, val, monitor, stage.candidates)
    save_nets(out / "nets", fitted.variables)
    write_json(out / "train.json", fitted.facts())
    monitor.log(f"val {objective.monitor} {np.sort(fitted.value)[: stage.top].mean():.4f}")
    return {"pairs": len(learn["image"])}
