"""Named sweeps of `launch.sweep`: what the study varies, and its ablations (arXiv 2401.14387)."""

KEYS = {"n": "ensemble.members", "views": "ensemble.views", "labels": "data.label_fraction"}
"""Short names of keys, as in `--sweep=n:2,3`."""

SWEEPS = {
    "seed": {str(seed): {"seed": seed} for seed in (0, 1, 2)},
    "n": {str(n): {"ensemble.members": n} for n in (2, 3, 4)},
    "views": {str(n): {"ensemble.views": n} for n in (3, 5, 7)},
    "level": {level: {"consistency.level": level} for level in ("low", "mid", "high")},
    "labels": {str(share): {"data.label_fraction": share} for share in (0.01, 0.05, 0.1, 0.3)},
    "block": {
        "both": {"mask.block_input": True, "mask.block_output": True},
        "input": {"mask.block_input": True, "mask.block_output": False},
        "output": {"mask.block_input": False, "mask.block_output": True},
        "none": {"mask.block_input": False, "mask.block_output": False},
    },
    "morphology": {
        f"e{erode}d{dilate}": {"mask.erode": erode, "mask.dilate": dilate}
        for erode, dilate in ((0, 0), (3, 0), (0, 3), (3, 3))
    },
    "pair_filter": {
        "off": {"mask.same_classes": False},
        "on": {"mask.same_classes": True},
    },
}
"""Name → label of each point → its keys."""
