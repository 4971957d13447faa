"""Noisy Student (Xie et al. 2020, arXiv 1911.04252) as a generational method (arXiv 2401.14387).

The best net of the last generation labels every image. A wider net is trained on images and labels that are
augmented together, ever more strongly. Only the augmented copies join the labeled set.
"""

from __future__ import annotations

from imjax.methods.generational import model_ensemble
from imjax.methods.generational.base import GenerationalMethod

METHODS = {
    "noisy_student": GenerationalMethod(
        "ldt",
        # The vote of a single net is its own label.
        labeler=model_ensemble.make_labeler,
        labeler_selection="best",
        keep_original_pairs=False,
        copies="one",
        widen_per_generation=True,
    )
}
