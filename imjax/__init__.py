"""imjax: semi-supervised image segmentation with Inconsistency Masks, in JAX and Flax.

  config = imjax.get_config("suim", "aim_pp", preset="small")
  run = imjax.train(config, workdir="runs/x")      # .results, .report
  model = imjax.load("runs/x")
  prediction = model.predict(image)                # .mask, .probabilities, .inconsistency, .objects()
  model.export("net.stablehlo")
  imjax.suggest("runs/mine", count=10)                 # which images to mask next

The names below are imported when they are first used: `import imjax` alone imports neither JAX nor anything
else that takes time.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "get_config": "imjax.config",
    "train": "imjax.api",
    "load": "imjax.api",
    "suggest": "imjax.api",
    "list_methods": "imjax.api",
    "list_datasets": "imjax.api",
    "Run": "imjax.api",
    "TrainedModel": "imjax.inference.trained_model",
    "Prediction": "imjax.inference.prediction",
    "Suggestion": "imjax.inference.suggestions",
}
"""Name → module that has it."""

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
