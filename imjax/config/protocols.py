"""Every protocol by name: which configuration function makes a dataset's, and for which methods.

`get_config("suim", "aim_pp", "small")` is what `configs/suim_aim_pp.py:small` holds, and what
`--config=suim_aim_pp:small` gives without a checkout.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
from collections.abc import Callable, Iterable

from ml_collections import ConfigDict

from imjax.config import datasets, joint_datasets, own_data
from imjax.errors import ErrorCode, UserError

STUDY = (
    "fdt",
    "ldt",
    "aldt",
    "model_ensemble",
    "input_ensemble",
    "consistency",
    "noisy_student",
    "evalnet",
    "im",
    "im_p",
    "aim_p",
    "im_pp",
    "aim_pp",
)
"""The thirteen methods of the Inconsistency Masks study (Vorndran & Roeck, arXiv 2401.14387)."""
ORACLE = "gt_im_pp"
"""Needs the truth of the unlabeled images: published for SUIM."""
JOINT = ("supervised", "mean_teacher", "fixmatch", "unimatch", "cct", "rdrop", "cps", "simeps")
"""Methods that see labeled and unlabeled images in every batch."""
RELATED = ("ua_mt", "ict", "urpc", "uaps")
"""Joint methods related to simEps and Mean Teacher, on one dataset of defects and one of medicine."""
METASSL = "_metassl"
"""End of the name of a joint method that MetaSSL weighs."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How some methods are run on a dataset."""

    make: Callable[[str, str | None], ConfigDict]
    """Method and preset → configuration."""
    methods: tuple[str, ...]


def _weighed(make: Callable[..., ConfigDict], methods: Iterable[str]) -> Protocol:
    """A protocol's methods with MetaSSL."""
    return Protocol(
        lambda method, preset: make(method.removesuffix(METASSL), preset, pixel_weighting="metassl"),
        tuple(method + METASSL for method in methods),
    )


PROTOCOLS: dict[str, tuple[Protocol, ...]] = {
    "suim": (Protocol(datasets.suim, (*STUDY, ORACLE)),),
    "isic2018": (Protocol(datasets.isic2018, STUDY),),
    "isic2017": (Protocol(datasets.isic2017, STUDY),),
    "hela": (Protocol(datasets.hela, STUDY),),
    "cityscapes": (Protocol(datasets.cityscapes, STUDY),),
    "camvid": (Protocol(datasets.camvid, (*STUDY, ORACLE)),),
    "dsb2018": (Protocol(datasets.dsb2018, STUDY),),
    "neu_seg": (Protocol(joint_datasets.neu_seg, (*JOINT, *RELATED)),),
    "dagm": (Protocol(joint_datasets.dagm, JOINT),),
    "mt": (Protocol(joint_datasets.mt, JOINT),),
    # The supervised baseline has no second prediction to divide the pixels by.
    "acdc": (Protocol(joint_datasets.acdc, (*JOINT, *RELATED)), _weighed(joint_datasets.acdc, JOINT[1:])),
    "la": (
        Protocol(joint_datasets.la, ("cps", "mean_teacher")),
        _weighed(joint_datasets.la, ("cps", "mean_teacher")),
    ),
    "folder": (
        Protocol(own_data.folder, ("ldt", "aldt", "im", "im_pp", "aim_pp", "noisy_student")),
        Protocol(own_data.folder_jointly, ("cps", "simeps")),
    ),
    "synthetic": (Protocol(datasets.synthetic, (*STUDY, ORACLE)),),
}
"""Dataset → its protocols."""

ALIASES = {"demo": "synthetic_aim_pp"}
"""Short names of configurations."""


def get_config(dataset: str, method: str, preset: str | None = None) -> ConfigDict:
    """The configuration of a method on a dataset.

    Args:
        dataset: a key of `PROTOCOLS`.
        method: one that the dataset has a protocol for; a joint method may end with `_metassl`.
        preset: `small`, `tiny`, or none for the published protocol.

    Raises:
        UserError: a dataset, method or preset that is unknown, with the names closest to it.
    """
    if dataset not in PROTOCOLS:
        raise UserError(
            f"dataset {dataset!r} is unknown{_closest(dataset, PROTOCOLS)}",
            code=ErrorCode.UNKNOWN,
            field="dataset",
        )
    for protocol in PROTOCOLS[dataset]:
        if method in protocol.methods:
            return protocol.make(method, preset)
    known = [name for protocol in PROTOCOLS[dataset] for name in protocol.methods]
    raise UserError(
        f"method {method!r} has no configuration for {dataset}{_closest(method, known)}",
        code=ErrorCode.UNKNOWN,
        field="method",
    )


def get_named_config(name: str, preset: str | None = None) -> ConfigDict:
    """The configuration that a file of `configs/` is named after: `suim_aim_pp`, `acdc_cps_metassl`, `demo`.

    Raises:
        UserError: a name or preset that is unknown, with the names closest to it.
    """
    full = ALIASES.get(name, name)
    for dataset in PROTOCOLS:
        if full.startswith(dataset + "_"):
            return get_config(dataset, full.removeprefix(dataset + "_"), preset)
    raise UserError(
        f"configuration {name!r} is unknown{_closest(name, list_names())}",
        code=ErrorCode.UNKNOWN,
        field="--config",
    )


def list_names() -> list[str]:
    """Names of all configurations, by dataset."""
    names = [
        f"{dataset}_{method}"
        for dataset, protocols in PROTOCOLS.items()
        for method in itertools.chain.from_iterable(protocol.methods for protocol in protocols)
    ]
    return [*names, *ALIASES]


def _closest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f": did you mean {' or '.join(close)}?" if close else f"; there are: {', '.join(known)}"
