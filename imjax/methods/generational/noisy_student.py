"""Noisy Student (methods.md 1.2): one net labels, and a wider one learns from augmented images and labels.

The best net of the last generation labels every image; image and label are augmented together, ever more
strongly, while the nets grow. Only the augmented copies join the labeled set.
"""

from __future__ import annotations

from imjax.methods.generational import model_ensemble
from imjax.methods.generational.base import GenerationalMethod

# A vote of one net is its label.
GENERATIONAL_METHODS = {
    "noisy_student": GenerationalMethod(
        "ldt",
        labeler=model_ensemble.labeler,
        labeled_by="best",
        originals=False,
        copies="one",
        grows=True,
    )
}
