"""The methods of both families by name, and what a run of one is called."""

from __future__ import annotations

import difflib

from imjax.config import Config
from imjax.data.pack import Packed
from imjax.data.spec import VOID, DatasetSpec
from imjax.errors import UserError
from imjax.methods import inconsistency_masks
from imjax.methods.joint import total
from imjax.methods.joint.hosts import HOSTS
from imjax.methods.recipes import RECIPES


def check(config: Config) -> None:
    """Make sure that the method exists and can do what it is asked for.

    Raises:
        UserError: no such method, with the nearest ones; one of images alone, where the data are volumes; or
            a weighting without pixels to weigh.
    """
    name, known = config.method, (*RECIPES, *HOSTS)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
        raise UserError(f"config key 'method' is {name!r}; did you mean {' or '.join(close)}?")
    if config.data.depth and name in RECIPES:
        raise UserError(
            f"method {name!r} segments images, not volumes (data.depth = {config.data.depth}); for volumes "
            f"there are: {', '.join(HOSTS)}"
        )
    chosen = total.weighting(config.joint, config.metassl)
    if chosen != "none" and (name in RECIPES or not HOSTS[name].exchanges(config.joint)):
        able = ", ".join(host for host in HOSTS if HOSTS[host].exchanges(config.joint))
        raise UserError(f"method {name!r} has no predictions for {chosen!r} to weigh; those have: {able}")


def check_spec(method: str, spec: DatasetSpec) -> None:
    """Make sure that a method can work with a dataset's labels.

    Raises:
        UserError: inconsistent pixels would need a class of their own, and the dataset has none.
    """
    if method in inconsistency_masks.RECIPES and spec.kind == "multiclass" and not spec.reserved:
        raise UserError(
            f"method {method!r} labels inconsistent pixels with class 0, which {spec.title} has for "
            f"{spec.classes[0]!r}; expected a method without them, e.g. noisy_student or cps, or "
            "cps with joint.weighting=inconsistency"
        )


def check_truth(config: Config, packed: Packed) -> None:
    """Make sure that the packed images are what the run's methods learn from.

    Raises:
        UserError: no unlabelled image for a method that needs some, or one without a truth for a method that
            uses it.
    """
    method, unlabelled = config.method, packed.splits["unlabelled"]
    # In joint training the labelled images may stand in, without labels (`selftrain.joint`).
    needs = method in RECIPES and (RECIPES[method].generations or RECIPES[method].consistency)
    if needs and not len(unlabelled.images):
        raise UserError(
            f"{packed.spec.title}: no unlabelled image for method {method!r}, expected at least one; add "
            "images without a mask or give data.label_fraction less than 1"
        )
    # Image by image, since the arrays are memory maps of any size.
    void = sum(bool((label == VOID).all()) for label in unlabelled.labels) if _sees_truth(config) else 0
    if void:
        raise UserError(
            f"{packed.spec.title}: {void} of {len(unlabelled.images)} unlabelled images have no mask, which "
            f"{' and '.join(_sees_truth(config))} would learn from; expected one each, take another method"
        )


def _sees_truth(config: Config) -> list[str]:
    """Methods of a run, baselines among them, that use the truth of unlabelled images."""
    recipes = {name: RECIPES[name] for name in (config.method, *config.baselines) if name in RECIPES}
    return [name for name, recipe in recipes.items() if recipe.start == "fdt" or recipe.copies == "oracle"]


def title(config: Config) -> str:
    """Column `method` of results.csv: the method, and what weighs its pixels."""
    chosen = total.weighting(config.joint, config.metassl)
    return config.method if chosen == "none" else f"{config.method}_{chosen}"


def start(config: Config) -> str:
    """The method that a run's gains are counted from: where it starts, or what it adds to."""
    if config.method in RECIPES:
        return RECIPES[config.method].start
    return "supervised" if title(config) == config.method else config.method
