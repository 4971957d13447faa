"""One generation of imjax in memory: label, block, augment, train with validation; and what it compiled."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import data, ours

COMPILED = "/jax/core/compile/backend_compile_duration"
"""Event of JAX's monitoring: a program was compiled, or found in the cache of compiled programs."""


class Compilations:
    """Numbers and seconds of programs that were compiled since the last look."""

    def __init__(self) -> None:
        import jax

        self._seconds: list[float] = []
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, seconds: float, **_: Any) -> None:
        if event == COMPILED:
            self._seconds.append(seconds)

    def look(self) -> tuple[int, float]:
        """How many, and how long they took in all."""
        found = len(self._seconds), sum(self._seconds)
        self._seconds.clear()
        return found


class Generation:
    """Generations, each as the one before.

    `facts`: `programs` and `compile_seconds` of the first generation, whose time is `first_seconds`, and
    `programs_again` of the second, which has no reason to compile any.

    Args:
        size: side of the images in pixels.
        images: that are labeled by two nets; a labeled set of a tenth joins the pairs.
        members: nets that are trained then.
        alpha: width of all of them.
        dtype: of the computation.
        steps: of training, in two epochs.
        batch: images per member and step.
    """

    def __init__(
        self,
        size: int,
        images: int,
        members: int,
        alpha: float = 0.5,
        dtype: str = "float32",
        steps: int = 32,
        batch: int = 8,
    ):
        ours.set_up(members)
        import jax

        # Compiling is measured, and a program from the cache is none.
        jax.config.update("jax_enable_compilation_cache", False)
        heard = Compilations()
        self._model = ours.start_model(2, size, alpha, dtype)
        self._objective, _ = ours.task(size, alpha, dtype)
        self._images, self._labels = data.noise(images, size)
        self._members, self._steps, self._batch = members, steps, batch
        heard.look()
        start = time.perf_counter()
        self.run(1)
        self.facts: dict[str, Any] = {"first_seconds": time.perf_counter() - start}
        self.facts["programs"], self.facts["compile_seconds"] = heard.look()
        self.run(1)
        self.facts["programs_again"], _ = heard.look()
        self.facts["devices"] = min(members, len(jax.local_devices()))

    def run(self, repeats: int) -> int:
        """So many generations."""
        for _ in range(repeats):
            pairs = ours.label(self._model, self._images)
            self._fit(self._training_set(pairs))
        return repeats

    def _training_set(self, pairs: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        from imjax import rng
        from imjax.config.schema import AugmentStrength
        from imjax.pipeline import training_sets

        copies = np.ones(len(pairs["image"]), int)
        extra = training_sets.augmented(
            pairs, copies, AugmentStrength(1, 15, 0.3, 15.0), True, rng.key(0, "bench")
        )
        few = max(1, len(self._images) // 10)
        return training_sets.join(pairs, extra, {"image": self._images[:few], "label": self._labels[:few]})

    def _fit(self, pairs: dict[str, Any]) -> None:
        from imjax.config.schema import Train
        from imjax.training import loop
        from imjax.training.checkpoints import Checkpoints
        from imjax.training.data_loader import EnsembleLoader
        from imjax.training.ensemble_parallel import Members
        from imjax.training.metric_writer import Writer
        from imjax.training.progress import StageLogger

        members = Members(self._members)
        options = Train(
            2, self._steps // 2, self._batch, "adamw", "constant", data.RATE, 0.0, data.DECAY,
            data.ADAM_EPSILON, patience=1,
        )  # fmt: skip
        few = slice(0, max(1, min(32, len(self._images) // 4)))
        val = EnsembleLoader({"image": self._images[few], "label": self._labels[few]}, members, 4096)
        with tempfile.TemporaryDirectory(prefix="imjax-bench-") as folder:
            writer, checkpoints = Writer(Path(folder), events=False), Checkpoints(Path(folder) / "saved")
            try:
                loop.fit(
                    self._objective, options, members, [EnsembleLoader(pairs, members, 4096)], val,
                    steps=[options.steps_per_epoch], seed=0, stage="bench", eval_batch_size=32,
                    checkpoints=checkpoints,
                    stage_logger=StageLogger(writer, "bench", "1/1", 0, lambda: False),
                )  # fmt: skip
            finally:
                checkpoints.close()
                writer.close()
