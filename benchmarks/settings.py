"""A run's settings where there is no run: what imjax's own functions ask for."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import data
from imjax.pipeline.context import Context


def context(eval_batch_size: int = 32) -> Context:
    """A context with SUIM's published settings and the benchmark's set, without data and folders."""
    from configs.suim_im import get_config
    from imjax.config.schema import freeze
    from imjax.data.pack import PackedDataset
    from imjax.pipeline.artifacts import ArtifactStore

    values = get_config()
    values.eval_batch_size = eval_batch_size
    with tempfile.TemporaryDirectory() as folder:
        # Nothing is stored; the store makes its folder all the same.
        store = ArtifactStore(Path(folder), (), ())
    return Context(freeze(values.to_dict()), PackedDataset(data.spec(), {}, {}), store)
