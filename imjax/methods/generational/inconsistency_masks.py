"""IM, IM+, AIM+, IM++, AIM++ and the oracle GT-IM++ (Vorndran & Roeck 2024, arXiv 2401.14387).

The best nets label an image. Where they disagree, the pixel is inconsistent: it is removed from the image and
from the label. The rest enters the next generation's training set:

* IM: as it is.
* IM+: as one augmented copy; nets get wider and augmentation stronger with the generations.
* IM++: as one to five augmented copies; EvalNets that learned to score blocked pairs give the number.
* AIM+, AIM++: the same from ALDT instead of LDT, with the blocked originals beside the copies.
* GT-IM++: IM++ with the true score, which needs the ground truth of unlabeled images: an upper bound.
"""

from __future__ import annotations

import jax

from imjax.config.schema import Ensemble, Mask
from imjax.data.spec import DatasetSpec
from imjax.methods.generational.base import Copies, GenerationalMethod, PseudoLabeler, Start
from imjax.ops import ensemble as ensemble_ops
from imjax.ops import inconsistency


def make_labeler(spec: DatasetSpec, ensemble: Ensemble, mask: Mask) -> PseudoLabeler:
    """Every net predicts its label; pixels on which all agree keep it."""
    del ensemble

    def predict(apply, batch):
        return ensemble_ops.label_of_logits(spec.kind, apply(batch["image"]))

    return PseudoLabeler(predict, lambda labels: consensus(spec, mask, labels))


def consensus(spec: DatasetSpec, mask: Mask, labels: jax.Array) -> inconsistency.PseudoLabel:
    """Consensus and inconsistency mask of the members' labels of one image, uint8 `[member, ...]`."""
    return inconsistency.make_pseudo_label(
        # Two classes at least, as a binary label has one output only.
        spec.kind, labels, classes=max(spec.outputs, 2), erode=mask.erode, dilate=mask.dilate,
        dilate_channels=spec.dilate_channels, require_same_classes=mask.require_same_classes,
    )  # fmt: skip


def _method(start: Start, copies: Copies, keep_original_pairs: bool = True) -> GenerationalMethod:
    return GenerationalMethod(
        start,
        labeler=make_labeler,
        keep_original_pairs=keep_original_pairs,
        copies=copies,
        widen_per_generation=copies != "none",
    )


METHODS = {
    "im": _method("ldt", "none"),
    "im_p": _method("ldt", "one", keep_original_pairs=False),
    "aim_p": _method("aldt", "one"),
    "im_pp": _method("ldt", "scored", keep_original_pairs=False),
    "aim_pp": _method("aldt", "scored"),
    "gt_im_pp": _method("ldt", "oracle", keep_original_pairs=False),
}
