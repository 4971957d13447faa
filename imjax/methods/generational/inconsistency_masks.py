"""IM, IM+, AIM+, IM++, AIM++ and the oracle GT-IM++ (methods.md 1.2, 1.3): one recipe with three switches.

The best nets label an image; where they disagree, the pixel is inconsistent: it is cut out of the image and
of the label. What is left enters the next generation's training set:

* IM: as it is.
* IM+: as one augmented copy, and nets and augmentation grow with the generations.
* IM++: as one to five augmented copies; EvalNets that learned to score blocked pairs say how many.
* AIM+, AIM++: the same from ALDT instead of LDT, with the blocked originals beside the copies.
* GT-IM++: IM++ with the true score, which needs the truth of unlabeled images: an upper bound, no method.
"""

from __future__ import annotations

from imjax.config.schema import Ensemble, Mask
from imjax.data.spec import DatasetSpec
from imjax.methods.generational.base import GenerationalMethod, PseudoLabeler
from imjax.ops import ensemble as vote
from imjax.ops import inconsistency


def labeler(spec: DatasetSpec, ensemble: Ensemble, mask: Mask) -> PseudoLabeler:
    """Every net gives its label; what all agree on stays."""
    del ensemble

    def look(apply, batch):
        return vote.label_of_logits(spec.kind, apply(batch["image"]))

    return PseudoLabeler(look, lambda labels: consensus(spec, mask, labels))


def consensus(spec: DatasetSpec, mask: Mask, labels) -> inconsistency.Pair:
    """Consensus and inconsistency mask of the members' labels of one image, uint8 `[member, ...]`."""
    return inconsistency.mask_pair(
        spec.kind, labels, classes=max(spec.outputs, 2), erode=mask.erode, dilate=mask.dilate,
        dilate_channels=spec.dilate_channels, require_same_classes=mask.require_same_classes,
    )  # fmt: skip


GENERATIONAL_METHODS = {
    "im": GenerationalMethod("ldt", labeler=labeler),
    "im_p": GenerationalMethod("ldt", labeler=labeler, originals=False, copies="one", grows=True),
    "aim_p": GenerationalMethod("aldt", labeler=labeler, copies="one", grows=True),
    "im_pp": GenerationalMethod("ldt", labeler=labeler, originals=False, copies="scored", grows=True),
    "aim_pp": GenerationalMethod("aldt", labeler=labeler, copies="scored", grows=True),
    "gt_im_pp": GenerationalMethod("ldt", labeler=labeler, originals=False, copies="oracle", grows=True),
}
