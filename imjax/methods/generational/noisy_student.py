"""Noisy Student (method.md 1.2): one net labels, and a wider one learns from augmented images and labels.

The best net of the last generation labels every image; image and label are augmented together, ever more
strongly, while the nets grow. Only the augmented copies join the labelled set.
"""

from __future__ import annotations

from imjax.methods.generational import model_ensemble
from imjax.methods.generational.base import Recipe

# A vote of one net is its label.
RECIPES = {
    "noisy_student": Recipe(
        "ldt",
        labeller=model_ensemble.labeller,
        labelled_by="best",
        originals=False,
        copies="one",
        grows=True,
    )
}
