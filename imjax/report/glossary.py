"""Abbreviations on the page and what they mean; see also docs/reference/glossary.md."""

from __future__ import annotations

import html
import re

TERMS = {
    "AIM+": "IM+ that starts from ALDT instead of LDT",
    "AIM++": "IM++ that starts from ALDT instead of LDT",
    "ALDT": "augmented labeled data training: LDT with augmented copies of each labeled pair",
    "ASSD": "average symmetric surface distance between predicted and true surface; lower is better",
    "candidate": "one of several networks that a stage trains from different seeds; ranked on val",
    "CCT": "cross-consistency training: further decoders on perturbed features agree with the main one",
    "CPS": "cross pseudo supervision: two networks learn from each other's predictions",
    "CSL": "confidence separable learning: weights of pixels by how reliable they look within their image",
    "Dice": "2 × overlap / (predicted + true area), 0 to 1",
    "EvalNet": "a network that predicts how well a mask fits an image",
    "FDT": "full data training: training on all labels, an upper reference",
    "gen.": "generation: one round of labeling the unlabeled images and training new networks on the result",
    "GT-IM++": "IM++ with the true score in place of EvalNet's: needs all labels, an upper bound",
    "HD95": "95th percentile of the distances between predicted and true surface; lower is better",
    "ICT": "interpolation consistency training: predictions of mixed images agree with mixed predictions",
    "IM": "inconsistency mask: the pixels on which the networks of an ensemble disagree; also the method "
    "that removes them",
    "IM+": "IM with one augmented copy of each pair, and networks that grow",
    "IM++": "IM with one to five augmented copies of each pair by EvalNet's score, and networks that grow",
    "IoU": "intersection over union: overlap / (predicted or true area), 0 to 1",
    "LDT": "labeled data training: training on the labeled images only",
    "MetaSSL": "weights of pixels by region: where two predictions agree or not, confident or not",
    "mIoU": "mean of IoU over classes, then over images; “dataset”: from all pixels of all images together",
    "mPA": "mean pixel accuracy: share of correct pixels of each image, averaged over images",
    "pseudo-label": "a label predicted by networks and used for training",
    "simEps": "similarity of images as a further consistency between networks",
    "UA-MT": "uncertainty-aware Mean Teacher",
    "UAPS": "uncertainty-aware pseudo supervision",
    "URPC": "uncertainty rectified pyramid consistency",
    "val": "validation images: they select the epoch and the network",
}


def list_terms(page: str) -> list[tuple[str, str]]:
    """(Term, meaning) of those that occur in the text of a page, as whole words."""
    text = html.unescape(re.sub(r"<[^>]*>", " ", page))
    return [(term, meaning) for term, meaning in TERMS.items() if _occurs(term, text)]


def _occurs(term: str, text: str) -> bool:
    # `IM` is no part of `IM+` or `GT-IM`; a plural counts.
    return re.search(rf"(?<![\w+-]){re.escape(term)}s?(?![\w+-])", text) is not None
