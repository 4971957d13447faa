"""Named sweeps of `launch.sweep`: what the papers vary, and their ablations."""

from typing import Any

KEYS = {
    "n": "ensemble.members",
    "views": "ensemble.tta_views",
    "labels": "data.label_fraction",
    "weighting": "joint.pixel_weighting",
}
"""Short names of keys, as in `--sweep=n:2,3`."""

SWEEPS: dict[str, dict[str, dict[str, Any]]] = {
    "seed": {str(seed): {"seed": seed} for seed in (0, 1, 2)},
    "n": {str(n): {"ensemble.members": n} for n in (2, 3, 4)},
    "views": {str(n): {"ensemble.tta_views": n} for n in (3, 5, 7)},
    "level": {level: {"consistency.level": level} for level in ("low", "mid", "high")},
    "labels": {str(share): {"data.label_fraction": share} for share in (0.01, 0.05, 0.1, 0.3)},
    # NEU-Seg as simEps has it (methods.md 2.1): shares of labels, with longer epochs for more of them.
    "labels_neu": {
        str(share): {"data.label_fraction": share, "train.steps_per_epoch": steps}
        for share, steps in ((0.01, 30), (0.05, 30), (0.1, 60), (0.3, 80), (0.5, 97))
    },
    # ACDC: labeled patients of 70.
    "patients": {str(n): {"data.label_fraction": n / 70} for n in (1, 3, 7)},
    "weighting": {
        name: {"joint.pixel_weighting": name} for name in ("none", "inconsistency", "csl", "metassl")
    },
    "nets": {str(n): {"joint.simeps.num_nets": n} for n in (3, 4)},
    # The consensus of binary and multiclass labels is 0 under the mask anyway: only of a mask that is dilated
    # does it matter whether labels are cut. All four have the same masks.
    "block": {
        name: {"mask.zero_image": inputs, "mask.zero_label": outputs, "mask.dilate": 3}
        for name, inputs, outputs in (
            ("both", True, True),
            ("input", True, False),
            ("output", False, True),
            ("none", False, False),
        )
    },
    "morphology": {
        f"e{erode}d{dilate}": {"mask.erode": erode, "mask.dilate": dilate}
        for erode, dilate in ((0, 0), (3, 0), (0, 3), (3, 3))
    },
    "pair_filter": {
        "off": {"mask.require_same_classes": False},
        "on": {"mask.require_same_classes": True},
    },
}
"""Name → label of each point → its keys."""
