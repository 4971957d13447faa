"""The run's configuration: ml_collections at the door, frozen dataclasses behind it.

Each field is read somewhere in `imjax/` (a test holds this), so that a key that does nothing is an
unknown key, and unknown keys fail with the nearest valid names.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from typing import Any

from imjax.config.joint_schema import Joint
from imjax.errors import UserError

KERNELS = (0, 3, 5)
"""Sizes that EvalNet's data may draw for erosion and dilation (methods.md 1.6)."""
FITS = ("resize", "crop", "pad")
"""Ways of images to the packed size."""
CONVOLUTIONS = ("auto", "products", "split_products", "direct")
"""Ways to compute a k×k convolution (`models.layers.choose_convolution`)."""
EXECUTIONS = ("auto", "batched", "sequential")
"""Ways to run the members of one device (`engine.members`)."""
LABEL_KINDS = ("auto", "binary", "multiclass", "multilabel")
"""What the masks of a folder of the user's own may be said to be."""

PLACES = frozenset({"data.dir", "data.cache", "nets_per_device", "max_device_dataset_mib", "on_nan"})
"""Keys that change where and how fast a run runs, and whether it comes to its end, not what it gives."""

LEVELS = ("low", "mid", "high")
"""Strengths of the consistency loss's views, in the order of its schedules (methods.md 1.7)."""


@dataclasses.dataclass(frozen=True)
class Data:
    """The dataset and how it is cut."""

    dataset: str
    """Name of a reader (`imjax.data.readers.registry`)."""
    dir: str
    """The data as the user has it."""
    cache: str
    """Where packed arrays go; empty: the user's cache folder."""
    depth: int
    """Slices that volumes are padded or cut to; 0: the dataset has images."""
    height: int
    """Images are resized to these two, volumes padded or cut."""
    width: int
    crops: int
    """Random crops per image, for datasets that are cropped."""
    overlap: float
    """Share of its side that a 256x256 crop has in common with the next, for datasets that are cut into
    a grid of crops; 0 = off."""
    fit: str
    """How an image comes to that size: `resize`, all of it; `crop`, squares of its own pixels, in a grid
    unless `crops` are drawn; `pad`, in the middle, shrunk where it is larger."""
    stretch: bool
    """Each image's 0.5th percentile of gray levels becomes 0 and its 99.5th 255, before it is cut."""
    label_fraction: float
    """Share of the training images whose labels are used."""
    val_fraction: float
    """Share of the training images that becomes val, where the dataset brings none; of the whole pool,
    where it brings no test either."""
    test_fraction: float
    """Share of the images that becomes test, where the dataset is one pool of images."""
    split: str
    """Division into training, validation and test: `published`, or another of the dataset's (`scenes`)."""
    split_seed: int
    label_kind: str
    """Of a folder of one's own (`folder`): `auto` reads it off the masks, or another of LABEL_KINDS."""
    rotation_invariant: bool
    """Of a folder of one's own: up and down do not matter, so that copies are turned upside down too."""
    synthetic_train: int
    """Numbers of scenes of the synthetic dataset."""
    synthetic_val: int
    synthetic_test: int


@dataclasses.dataclass(frozen=True)
class Model:
    """The backbone: U-Net(α), methods.md 1.4, or the benchmark's U-Net, methods.md 2."""

    backbone: str
    """`study` or `benchmark`."""
    alpha: float
    """Width of nets that do not grow."""
    width_per_generation: tuple[float, ...]
    """Width per generation of the methods that grow."""
    dropout: float
    """Of `study`, the same in every block."""
    features: tuple[int, ...]
    """Of `benchmark`, from the shallowest stage to the deepest; α multiplies them."""
    dropouts: tuple[float, ...]
    """Of `benchmark`, on the way down."""
    momentum: float
    """Of batch normalization's running statistics."""
    dtype: str
    """Compute type: `auto` (bfloat16 on accelerators, float32 on CPU), `float32` or `bfloat16`."""
    convolution: str
    """How k×k convolutions are computed: `auto` (by the platform), `products`, `split_products`, `direct`."""


@dataclasses.dataclass(frozen=True)
class Train:
    """One training stage, methods.md 1.5."""

    epochs: int
    steps_per_epoch: int
    """0: the published rule, ⌊images / batch_size⌋."""
    batch_size: int
    optimizer: str
    """`adamw`, `adam` or `sgd`."""
    schedule: str
    """Of the learning rate: `constant`; `poly` down to 0 at the end; `plateau` a tenth of it at a time."""
    learning_rate: float
    momentum: float
    """Of `sgd`."""
    weight_decay: float
    """`adamw`: taken off the weights as it is at each step, not times the learning rate; `sgd`: of the
    squared weights; `adam` has none."""
    adam_epsilon: float
    patience: int
    """Epochs without a better training loss (of joint methods: on the labels) until `plateau` acts."""


@dataclasses.dataclass(frozen=True)
class Augment:
    """Strength per generation, methods.md 1.7."""

    blur: tuple[int, ...]
    noise: tuple[int, ...]
    gain: tuple[float, ...]
    offset: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class AugmentStrength:
    """Of photometry, methods.md 1.8."""

    blur: int
    noise: int
    gain: float
    offset: float


@dataclasses.dataclass(frozen=True)
class Aldt(AugmentStrength):
    """The augmented labeled set, made once."""

    copies: int


@dataclasses.dataclass(frozen=True)
class Ensemble(AugmentStrength):
    """Who labels: several nets, or several views of one net. The strength is the views'."""

    members: int
    """Nets: the best n of the last generation, and of EvalNets the best n (methods.md 1.2)."""
    views: int
    """Of Input Ensemble."""


@dataclasses.dataclass(frozen=True)
class Consistency(Augment):
    """Consistency loss, methods.md 1.2 and 1.7: strengths low, mid, high of the two views."""

    level: str
    """`low`, `mid` or `high`."""
    epochs: int


@dataclasses.dataclass(frozen=True)
class Mask:
    """Inconsistency mask, methods.md 1.3."""

    erode: int
    dilate: int
    """Sizes of the square kernels; 0 = off."""
    zero_image: bool
    zero_label: bool
    require_same_classes: bool
    """Drop an image when the members' sets of predicted classes differ."""


@dataclasses.dataclass(frozen=True)
class EvalNetData(AugmentStrength):
    """The pairs that EvalNets learn from, methods.md 1.6; the strength is that of every other pair."""

    passes: int
    val_passes: int
    fewest: int
    """Candidates drawn per pair: from `fewest` to `most`."""
    most: int
    kernels: tuple[int, ...]
    """Sizes that erosion and dilation are drawn from."""
    val_candidates: int
    """Method `evalnet`: nets of each start stage whose masks of val images are scored."""


@dataclasses.dataclass(frozen=True)
class EvalNet:
    """EvalNets and their use, methods.md 1.4 to 1.6."""

    alpha: float
    candidates: int
    """EvalNets that are trained; the best `ensemble.members` of them score."""
    lowest: float
    """MIN of the copy counts: pairs up to this score get one copy."""
    highest: float
    """MAX: pairs above it get five."""
    threshold: float
    """Method `evalnet` keeps masks from this score on."""
    pairs: EvalNetData
    train: Train


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    method: str
    """Name in `imjax.methods.generational.registry` or in `imjax.methods.joint.registry`."""
    seed: int
    generations: int
    num_baseline_nets: int
    """Nets trained from different seeds for LDT, ALDT and FDT."""
    candidates: int
    """The same per generation."""
    top: int
    """Candidates, best on val first, whose mean is reported."""
    baselines: tuple[str, ...]
    """Start methods to train beside the method, for comparison: `ldt`, `aldt`, `fdt`."""
    nets_per_device: int
    """Most members that a device holds at once; 0: on a CPU one, elsewhere as many as fit its memory."""
    member_execution: str
    """How the members of a device run: `batched` (`vmap`), `sequential` (one after another inside one
    program), or `auto`."""
    max_device_dataset_mib: int
    """Sets up to this size stay on the device; larger ones stream from the host."""
    eval_batch_size: int
    on_nan: str
    """When a candidate's loss is not finite: `stop` the run, or `drop` the candidate, which then is ranked
    last and in no ensemble. May be changed in a run's folder, to go on after a stop."""
    select_on_test: bool
    """Rank candidates on test instead of val, as the published HeLa code does: for replication only."""
    data: Data
    model: Model
    train: Train
    augment: Augment
    aldt: Aldt
    ensemble: Ensemble
    consistency: Consistency
    mask: Mask
    evalnet: EvalNet
    metassl: bool
    """Short for `joint.weighting=metassl`."""
    joint: Joint


def freeze(values: Mapping[str, Any], cls: type = Config, path: str = "") -> Any:
    """ConfigDict (or nested mapping) → dataclass.

    Raises:
        UserError: an unknown or missing key or a wrong type, with the full path of the key, the value,
            and the nearest valid names.
    """
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in hints:
            raise UserError(f"config key {path + key!r} is unknown{_nearest(key, hints)}")
    for key in hints:
        if key not in values:
            raise UserError(
                f"config key {path + key!r} is missing; see imjax/config/schema.py for what it means"
            )
    return cls(**{key: _convert(values[key], hint, path + key) for key, hint in hints.items()})


def _nearest(key: str, names: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, names, n=3, cutoff=0.5)
    return f": did you mean {' or '.join(close)}?" if close else f"; valid here: {', '.join(names)}"


def _convert(value: Any, hint: Any, path: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise UserError(f"config key {path!r} is {value!r}; expected a group of keys")
        return freeze(value, hint, path + ".")
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, tuple | list):
            raise UserError(f"config key {path!r} is {value!r}; expected a tuple")
        return tuple(_convert(v, typing.get_args(hint)[0], f"{path}[{i}]") for i, v in enumerate(value))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) < 1e300:
            raise UserError(f"config key {path!r} is {value}; expected a finite number")
        return float(value)
    # bool is an int to Python, but `seed=True` is a slip.
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise UserError(f"config key {path!r} is {value!r}; expected {hint.__name__}")
    return value


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration → one level with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = prefix + key
        flat |= flatten(value, name + ".") if isinstance(value, Mapping) else {name: value}
    return flat
