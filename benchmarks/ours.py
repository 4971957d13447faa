"""imjax as a contestant, by the code that its runs go through."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import data

ONE_DEVICE = {"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
STRATEGIES: dict[str, tuple[dict[str, str], int | None]] = {
    "as a run does": ({}, 0),
    "in turn on one device": (ONE_DEVICE, 1),
    "vmap on one device": (ONE_DEVICE, None),
}
"""Name → settings of the process, and members per chunk; None: all."""


class Strategy(NamedTuple):
    """How the members of one device run."""

    convolution: str
    """`Model.convolution`."""
    per_chunk: int = -1
    """Members per dispatch; -1: all."""
    sequential: bool = False
    """See `training.ensemble_parallel.Members`."""


STRATEGIES_OF_DEVICE = {
    "products": Strategy("products"),
    "split products": Strategy("split_products"),
    "sequential": Strategy("direct", sequential=True),
    "grouped": Strategy("direct"),
    "dispatched": Strategy("direct", per_chunk=1),
    "sequential products": Strategy("products", sequential=True),
    "as a run does": Strategy("auto", per_chunk=0),
}
"""On an accelerator: all members as batched products; one after another with the library's own convolutions,
inside one program or one dispatch each; as grouped convolutions."""


def cache() -> Path:
    """Where compiled programs are kept: the folder of imjax's runs."""
    from imjax.data.pack import default_cache

    return default_cache()


def set_up(most: int) -> None:
    """What every run of imjax does before JAX's first use."""
    from imjax.training import devices

    # An accelerator's memory is asked for as it is needed, so that its peak tells something.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    devices.configure(cache(), most)


class Training:
    """Training steps of some members, by `training.ensemble_parallel`, `step`, `objective` and `source`.

    Args:
        size: side of the images in pixels.
        batch: images per member and step.
        members: that train side by side.
        per_chunk: most members that a device holds at once; 0: as a run decides; -1: all.
        alpha: width of the U-Net.
        dtype: of the computation.
        images: in the training set.
        strategy: one of `STRATEGIES_OF_DEVICE`; its `per_chunk` replaces the one here.
        scan: steps per dispatch, by `lax.scan` over batches that are drawn on the device.
        backbone: `config.model.backbone`.
        cost: whether `facts` has what one member's step costs by the compiled program.
    """

    def __init__(
        self,
        size: int,
        batch: int,
        members: int,
        per_chunk: int = 0,
        alpha: float = 1.0,
        dtype: str = "float32",
        images: int = 64,
        strategy: str = "as a run does",
        scan: int = 1,
        cost: bool = False,
        backbone: str = "unet_residual",
    ):
        set_up(members)
        import jax

        from imjax.training.data_loader import EnsembleLoader
        from imjax.training.ensemble_parallel import Members
        from imjax.training.loop import _member_keys

        how = STRATEGIES_OF_DEVICE[strategy]
        per_chunk = per_chunk or how.per_chunk
        self._objective, optimizer = task(size, alpha, dtype, how.convolution, backbone)
        self._members = Members(members, members if per_chunk < 0 else per_chunk, sequential=how.sequential)
        pictures, labels = data.noise(images, size)
        self._source = EnsembleLoader(
            {"image": pictures, "label": labels}, self._members, max_device_dataset_mib=4096
        )
        self._order = self._source.shuffled(0, "bench", batch)
        self._batch, self._done = batch, 0
        keys = _member_keys(0, "bench", members)
        self._keys = self._members.shard(keys)
        self._state, self._advance = _start(self._objective, optimizer, self._members, keys)
        self._scan, self._advance_many = scan, _scanned(self._objective, optimizer.make(), self._members)
        self.facts = {
            "device": jax.devices()[0].device_kind,
            "devices": len(self._members.devices),
            "per_device": self._members.per_device,
            "parameters": _parameters(self._state) // (self._members.chunks * self._members.width),
        }
        if cost:
            self.facts |= step_cost(self._objective, optimizer.make(), size, batch)

    def run(self, repeats: int) -> int:
        """Steps of all members; images times members."""
        import jax

        from imjax.training.loop import SYNC_STEPS

        if self._scan > 1:
            repeats = -(-repeats // self._scan) * self._scan
            self._run_scanned(repeats)
        steps = range(self._done, self._done + repeats) if self._scan == 1 else ()
        for step, batch in zip(steps, self._source.batches(self._order, steps), strict=False):
            self._state = self._advance(self._state, batch, self._keys)
            if step % SYNC_STEPS == 0:
                jax.block_until_ready(self._state)
        jax.block_until_ready(self._state)
        self._done += repeats
        told = jax.local_devices()[0].memory_stats() or {}
        self.facts |= {"peak_bytes": told["peak_bytes_in_use"]} if "peak_bytes_in_use" in told else {}
        return repeats * self._batch * self._members.count

    def _run_scanned(self, repeats: int) -> None:
        """The same steps, `scan` of them per dispatch."""
        import numpy as np

        for first in range(self._done, self._done + repeats, self._scan):
            indices = [self._order(step) for step in range(first, first + self._scan)]
            laid = self._members.shard(np.stack(indices, 1))
            self._state = self._advance_many(self._state, self._source._resident, laid, self._keys)


def task(
    size: int, alpha: float, dtype: str, convolution: str = "auto", backbone: str = "unet_residual"
) -> tuple[Any, Any]:
    """Objective and optimizer of a net, by default the study's U-Net, on the benchmark's set."""
    from imjax.config.schema import Model
    from imjax.models.factory import create_backbone
    from imjax.training.objective import segmentation_objective
    from imjax.training.optimizer import Optimizer

    model = Model(
        backbone=backbone, width=alpha, momentum=data.MOMENTUM, dtype=dtype, convolution=convolution
    )
    net = create_backbone(model, data.spec())
    optimizer = Optimizer(
        "adamw", "constant", data.RATE, 0.0, data.DECAY, data.ADAM_EPSILON, horizon=0, patience=0
    )
    return segmentation_objective(net, data.spec(), (size, size)), optimizer


def _start(objective: Any, optimizer: Any, members: Any, keys: Any) -> tuple[Any, Any]:
    """State of all members, and what advances it by a step: as `training.loop` makes them."""
    import jax
    import numpy as np

    from imjax.training import loop

    run = loop._programs(loop.ProgramSpec(objective, members, optimizer))
    starts = [run.init(key) for key in keys]
    state = members.shard(jax.tree.map(lambda *leaves: np.stack(leaves), *starts))
    return state, run.train_step[0]


def _scanned(objective: Any, tx: Any, members: Any) -> Any:
    """A program of several steps: state, resident examples, indices `[step, b]` and key of each member."""
    import jax

    from imjax.training import data_loader, step

    (loss,) = objective.losses.values()

    def several(state, examples, indices, key):
        def one(carried, chosen):
            return step.train_step(loss, tx, carried, data_loader._gather(examples, chosen), key), None

        return jax.lax.scan(one, state, indices)[0]

    return members.map(several, shared=(1,), donate=(0,))


def _parameters(state: Any) -> int:
    import jax

    return sum(leaf.size for chunk in state for leaf in jax.tree.leaves(chunk.variables["params"]))


def step_cost(objective: Any, tx: Any, size: int, batch: int) -> dict[str, float]:
    """`step_flops` and `step_bytes` of a step of one member.

    The bytes are those that the compiled program's operations read and write, from `cost_analysis`: what
    stays in a cache between two of them counts as well. The operations are counted before compilation,
    since calls of libraries, which convolutions may become, tell none.
    """
    import jax
    import numpy as np

    from imjax.training import memory, step

    (loss,) = objective.losses.values()
    shapes = {
        "image": np.zeros((1, size, size, 3), np.uint8),
        "label": np.zeros((1, size, size), np.uint8),
    }
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(lambda key: step.init(objective, tx, -math.inf, key), key)
    lowered = jax.jit(lambda s, b, k: step.train_step(loss, tx, s, b, k)).lower(
        state, memory.shapes(shapes, batch), key
    )
    counted, compiled = lowered.cost_analysis() or {}, lowered.compile().cost_analysis() or {}
    flops = max(counted.get("flops", 0.0), compiled.get("flops", 0.0))
    return {"step_flops": float(flops), "step_bytes": float(compiled.get("bytes accessed", 0.0))}


def start_model(members: int, size: int, alpha: float, dtype: str) -> Any:
    """So many U-Nets with weights as drawn, as a start stage's model (`TrainedModel`)."""
    import dataclasses

    import jax
    import jax.numpy as jnp
    import numpy as np

    from configs.suim_im import get_config
    from imjax.config.convert import freeze
    from imjax.config.schema import Model
    from imjax.inference.trained_model import TrainedModel
    from imjax.models.factory import create_backbone
    from imjax.training.runtime import Runtime

    config = freeze(get_config().model.to_dict(), Model, "model.")
    model = dataclasses.replace(config, width=alpha, momentum=data.MOMENTUM, dtype=dtype)
    net = create_backbone(model, data.spec())
    quick = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    image = jnp.zeros((1, size, size, 3), jnp.uint8)
    init = jax.jit(lambda key: net.init(key, image), compiler_options=quick)
    drawn = [init(jax.random.key(i)) for i in range(members)]
    variables = jax.tree.map(lambda *leaves: np.stack(leaves), *drawn)
    return TrainedModel("start", data.spec(), model, 0, variables, tuple(range(members)), Runtime(32))


class Labeling:
    """Pseudo-labels of images in memory by the nets' consensus, blocked: as a label stage makes them.

    Args:
        size: side of the images in pixels.
        images: how many there are.
        members: nets that label.
        alpha: their width.
        dtype: of the computation.
    """

    def __init__(
        self, size: int, images: int = 128, members: int = 2, alpha: float = 1.0, dtype: str = "float32"
    ):
        set_up(members)
        self._images, _ = data.scenes(images, size)
        self._model = start_model(members, size, alpha, dtype)
        self.facts = {"images": images}

    def run(self, repeats: int) -> int:
        """Label all images so many times."""
        for _ in range(repeats):
            label(self._model, self._images)
        return repeats * len(self._images)


def label(model: Any, images: Any) -> Any:
    """Blocked pairs of images, as a label stage and the training stage after it make them for SUIM."""
    from configs.suim_im import get_config
    from imjax import rng
    from imjax.config.convert import freeze
    from imjax.inference.net_functions import Labeling
    from imjax.pipeline import training_sets

    config = freeze(get_config().to_dict())
    labeling, mask = Labeling("im", model.spec, config.ensemble, config.mask), config.mask
    pair = model.pseudo_label(labeling, images, rng.key(0, "label", 0))
    return training_sets.blocked(images, pair.label, pair.inconsistent, mask)


class Augmenting:
    """Augmented copies of pairs in memory, as a training stage makes its set.

    Args:
        size: side of the images in pixels.
        images: pairs; one copy of each.
        strength: max_blur, max_noise, gain, offset (`ops.augment.AugmentStrength`).
    """

    def __init__(self, size: int, images: int = 256, strength: tuple = (3, 25, 0.5, 25.0)):
        set_up(1)
        import numpy as np

        from imjax.config.schema import AugmentStrength

        pictures, labels = data.scenes(images, size)
        self._pairs = {"image": pictures, "label": labels}
        self._copies, self._strength = np.ones(images, int), AugmentStrength(*strength)
        self.facts = {"images": images}

    def run(self, repeats: int) -> int:
        """Augment all pairs so many times."""
        from imjax import rng
        from imjax.pipeline import training_sets

        for _ in range(repeats):
            training_sets.augmented(self._pairs, self._copies, self._strength, True, rng.key(0, "bench"))
        return repeats * len(self._copies)
