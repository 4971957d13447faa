"""The keys of a run's configuration, as frozen dataclasses; `imjax.config.convert` fills them.

A field says a key's type, default, meaning and constraint (`imjax.config.key`); rules between keys are in
`imjax.config.constraints`. Each is read somewhere in `imjax/` (a test holds this), so that a key that does
nothing is an unknown key, and unknown keys fail with the closest valid names.
"""

from __future__ import annotations

import dataclasses
import math

from imjax.config.joint_schema import Joint, View
from imjax.config.key import (
    KERNEL,
    MULTIPLE_OF_16,
    Constraint,
    at_least,
    below,
    between,
    group,
    key,
    more_than,
    one_of,
    some_of,
)

KERNELS = (0, 3, 5)
"""Sizes that EvalNet's data may draw for erosion and dilation (methods.md 1.6)."""
RESIZE_MODES = ("resize", "crop", "pad")
"""Ways of images to the packed size."""
CONVOLUTIONS = ("auto", "products", "split_products", "direct")
"""Ways to compute a k×k convolution (`models.convolution.choose_convolution`)."""
EXECUTIONS = ("auto", "batched", "sequential")
"""Ways to run the members of one device (`training.ensemble_parallel`)."""
LABEL_KINDS = ("auto", "binary", "multiclass", "multilabel")
"""What the masks of a folder of the user's own may be said to be."""
PAGES = ("auto", "channels", "slices", "max", "mean")
"""What the pages of the user's own images may be said to be."""

PLACES = frozenset(
    {
        "data.dir", "data.cache", "data.keep_split", "nets_per_device", "devices_per_net",
        "max_device_dataset_mib", "on_nan", "tracker",
    }
)  # fmt: skip
"""Keys that change where and how fast a run runs, and whether it comes to its end, not what it gives."""

ENCODERS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
"""Backbones with an encoder of their own, which can start from ImageNet (`imjax.models.imagenet`)."""
BACKBONES = ("unet_residual", "unet_dropout", *ENCODERS)

TRACKERS = ("none", "wandb", "mlflow")
EMPTY_IOUS = ("dataset", "zero", "one")
"""What `empty_iou` may be; `DatasetSpec.with_empty_iou` reads it."""
BUDGETS = ("published", "equal")
"""Rules for the number of steps (`training.budget`)."""
SCHEDULES = ("auto", "constant", "poly", "plateau", "one_cycle")
"""Of the learning rate."""
RECIPES = ("published", "strong")
"""Ways to train a net (`StrongRecipe`)."""
SHARE = Constraint(lambda v: 0 < v < 1, "more than 0, less than 1")

BLOCKED_IMAGES = ("zero", "mean")
"""What inconsistent pixels of an image may become."""
BLOCKED_LABELS = ("zero", "void")
"""What inconsistent pixels of a label may become."""

LEVELS = ("low", "mid", "high")
"""Strengths of the consistency loss's views, in the order of its schedules (methods.md 1.7)."""


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """Size of the synthetic dataset."""

    num_train: int = key(400, "Training images.")
    num_val: int = key(80, "Val images.")
    num_test: int = key(80, "Test images.")


def is_nodata(text: str) -> bool:
    """Whether `data.nodata` may be so."""
    try:
        return text in ("auto", "none") or not math.isnan(float(text))
    except ValueError:
        return False


@dataclasses.dataclass(frozen=True)
class Data:
    """The dataset and how it is cut."""

    dataset: str = key("", "Name of a reader (`imjax.data.readers.registry`).")
    dir: str = key("", "The data as the user has it.")
    cache: str = key("", "Where packed arrays go; empty: the user's cache folder.")
    depth: int = key(
        0,
        "Slices that volumes are padded or cut to; 0: the dataset has images.",
        Constraint(lambda v: v >= 0 and v % 16 == 0, "0 (images) or a multiple of 16"),
    )
    height: int = key(256, "Images are resized to this height, volumes padded or cut.", MULTIPLE_OF_16)
    width: int = key(256, "The same for the width.", MULTIPLE_OF_16)
    random_crops: int = key(0, "Random crops per image, for datasets that are cropped.", at_least(0))
    tile_overlap: float = key(
        0.0,
        "Share of its side that a 256x256 crop has in common with the next, for datasets that are cut "
        "into a grid of crops; 0: off.",
        below(1),
    )
    resize_mode: str = key(
        "resize",
        "How an image comes to that size: `resize`, all of it; `crop`, squares of its own pixels, in a "
        "grid unless `random_crops` are drawn; `pad`, in the middle, shrunk where it is larger.",
        one_of(RESIZE_MODES),
    )
    percentile_normalize: bool = key(
        False, "Each image's 0.5th percentile of gray levels becomes 0 and its 99.5th 255, before it is cut."
    )
    label_fraction: float = key(
        0.1,
        "Share of the training images whose labels are used.",
        Constraint(lambda v: 0 < v <= 1, "more than 0, at most 1"),
    )
    val_fraction: float = key(
        0.1,
        "Share of the training images that becomes val, where the dataset brings none; of the whole pool, "
        "where it brings no test either.",
        SHARE,
    )
    test_fraction: float = key(
        0.2, "Share of the images that becomes test, where the dataset is one pool of images.", SHARE
    )
    split: str = key(
        "published",
        "Division into training, validation and test: `published`, or another of the dataset's (`scenes`).",
    )
    by_crop: bool = key(
        False,
        "With `tile_overlap`: `label_fraction` is a share of the crops and not of the images, and the grid "
        "of crops repeats its last ones, as published for HeLa; overlapping crops then lie on both sides. "
        "The report says which rule a table has.",
    )
    split_seed: int = key(0, "Seed of the division and of random crops.")
    keep_split: str = key(
        "",
        "Folder of an earlier run, whose val and test images stay what they are, where the dataset is one "
        "pool of images; masks that were added since are labeled. Empty: the division is drawn.",
    )
    folds: int = key(
        1,
        "Cross-validation: parts into which the images with labels are divided. A run for each part tests on "
        "it and trains on the others; then come the final nets, trained on all of them. 1: off.",
        at_least(1),
    )
    fold_repeats: int = key(1, "Times that the images are divided into `folds` anew.", at_least(1))
    fold: int = key(
        0,
        "Run that one fold only, counted from 1 through all repeats; 0: all of them and the final nets.",
        at_least(0),
    )
    label_kind: str = key(
        "auto",
        "Of a folder of your own (`folder`): `auto` infers it from the masks, or what they are.",
        one_of(LABEL_KINDS),
    )
    pages: str = key(
        "auto",
        "Of images of your own with several pages: `auto`, channels where the file's metadata say so, else "
        "refused; `channels`, each page is one; `slices`, each is an image of its own and the mask holds for "
        "all; `max` or `mean`, their projection.",
        one_of(PAGES),
    )
    alpha: str = key(
        "drop",
        "Of images of your own with transparency by their file: `drop` it, or take it as a `channel`.",
        one_of(("drop", "channel")),
    )
    orientation: str = key(
        "apply",
        "Of images of your own whose file says how the camera was held: `apply` turns them upright, as "
        "viewers do; `ignore` leaves them as stored.",
        one_of(("apply", "ignore")),
    )
    nodata: str = key(
        "auto",
        "Of images of your own: value of pixels without data, which are void; `auto`, NaN and what the file "
        "names (GDAL), and values that look like one are refused; `none`, all pixels have data.",
        Constraint(is_nodata, "auto, none or a number such as -9999"),
    )
    value_scaling: str = key(
        "image",
        "How images of your own with more than 8 bits come to 8: `image`, each by its own range; `folder`, "
        "each channel by its range over all images, so that brightness stays comparable.",
        one_of(("image", "folder")),
    )
    rotation_invariant: bool = key(
        True, "Of a folder of your own: up and down do not matter, so that copies are turned upside down too."
    )
    synthetic: Synthetic = group(Synthetic())

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a packed image or slice."""
        return self.height, self.width

    @property
    def box(self) -> tuple[int, ...]:
        """Sides of a packed image, `(h, w)`, or of a packed volume, `(d, h, w)`."""
        return (self.depth, *self.size) if self.depth else self.size

    @property
    def num_folds(self) -> int:
        """Runs of a cross-validation before that of the final nets; 0: there is none."""
        return self.folds * self.fold_repeats if self.folds > 1 else 0

    @property
    def is_final(self) -> bool:
        """Whether a cross-validation's final nets are trained: on all images with labels."""
        return self.num_folds > 0 and self.fold == 0

    @property
    def is_grid(self) -> bool:
        """Whether an image becomes a grid of crops."""
        return self.tile_overlap > 0 or (self.resize_mode == "crop" and not self.random_crops)

    @property
    def is_cropped(self) -> bool:
        """Whether an image becomes several pieces, whatever their number."""
        return self.is_grid or self.random_crops > 0


@dataclasses.dataclass(frozen=True)
class Model:
    """The backbone and its first weights (docs/how-to/pretrained_encoders.md)."""

    backbone: str = key(
        "unet_residual",
        "`unet_residual` (of the IM study), `unet_dropout` (of the medical benchmark), or an encoder below a "
        "U-Net's decoder, for images: `efficientnet_lite0`, `efficientnet_lite1`, `efficientnet_lite2`.",
        one_of(BACKBONES),
    )
    weights: str = key(
        "none",
        "What nets start from: `none`, random weights; `imagenet`, the encoder trained on ImageNet below a "
        "random decoder, of backbones with an encoder; or the folder of another run with the same backbone, "
        "whose nets are taken in turn, best on val first.",
        Constraint(lambda v: bool(v.strip()), "none, imagenet or the folder of another run"),
    )
    width: float = key(
        1.0,
        "α: factor on the number of filters of nets that do not grow; of those with an encoder, on the "
        "decoder's.",
        more_than(0),
    )
    width_per_generation: tuple[float, ...] = key(
        (1.0, 1.25, 1.5, 1.75, 2.0), "Width per generation of the methods that grow."
    )
    dropout: float = key(
        0.0, "Of `unet_residual`, the same in every block; of backbones with an encoder, in the decoder."
    )
    features: tuple[int, ...] = key(
        (16, 32, 64, 128, 256),
        "Of `unet_dropout`, from the shallowest stage to the deepest; `width` multiplies them.",
    )
    dropouts: tuple[float, ...] = key((0.05, 0.1, 0.2, 0.3, 0.5), "Of `unet_dropout`, on the way down.")
    momentum: float = key(0.99, "Of batch normalization's running statistics.")
    dtype: str = key(
        "auto",
        "Compute type: `auto` (bfloat16 on accelerators, float32 on CPU), `float32` or `bfloat16`.",
        one_of(("auto", "float32", "bfloat16")),
    )
    convolution: str = key(
        "auto",
        "How k×k convolutions are computed: `auto` (by the platform), `products`, `split_products`, "
        "`direct`.",
        one_of(CONVOLUTIONS),
    )
    auxiliary: str = key(
        "decoders",
        "Auxiliary predictions of joint methods: `decoders` of their own on perturbed features (CCT, UAPS), "
        "or `scales`, heads on the coarser features of the main decoder (URPC).",
        one_of(("decoders", "scales")),
    )


@dataclasses.dataclass(frozen=True)
class Train:
    """One training stage, methods.md 1.5: AdamW at a constant rate, as published."""

    epochs: int = key(50, "Passes over the training set.", at_least(1))
    steps_per_epoch: int = key(
        0, "Optimizer steps of an epoch of every net; 0: as `budget` says.", at_least(0)
    )
    budget: str = key(
        "published",
        "Steps of an epoch where `steps_per_epoch` is 0: `published`, ⌊images / batch_size⌋ of the net's own "
        "training set, so that methods with more images train longer; `equal`, of every net as many as the "
        "longest-training method of the Inconsistency Masks paper takes (methods.md 1.13).",
        one_of(BUDGETS),
    )
    batch_size: int = key(32, "Images of a step; of joint methods half of them are labeled.", at_least(1))
    optimizer: str = key("adamw", "`adamw`, `adam` or `sgd`.", one_of(("adamw", "adam", "sgd")))
    schedule: str = key(
        "auto",
        "Of the learning rate: `constant`; `poly` down to 0 at the end; `plateau` a tenth of it at a time; "
        "`one_cycle` up to it in the first quarter and down to 0; `auto`: `constant`, with `recipe=strong` "
        "`one_cycle`.",
        one_of(SCHEDULES),
    )
    learning_rate: float = key(0.003, "Learning rate at the start, of `one_cycle` the highest.", more_than(0))
    encoder_lr_scale: float = key(
        1.0,
        "Factor on the learning rate, and on `adamw`'s weight decay, of an encoder's weights: less than 1 "
        "keeps what a pretrained one knows. The decoder has the rate as it is.",
        more_than(0),
    )
    momentum: float = key(0.9, "Of `sgd`.")
    weight_decay: float = key(
        1e-4,
        "`adamw`: taken off the weights as it is at each step, not times the learning rate; `sgd`: of the "
        "squared weights; `adam` has none.",
    )
    adam_epsilon: float = key(
        1e-7,
        "Added to the root of the second moment: of `adamw` before the bias correction, as in the published "
        "code's library, of `adam` after it.",
    )
    patience: int = key(
        50,
        "Epochs without a better validation loss (of joint methods: Dice) until `plateau` acts.",
        at_least(1),
    )


@dataclasses.dataclass(frozen=True)
class StrongRecipe:
    """What `recipe=strong` changes, methods.md 1.14: each step draws its images' views anew, the loss is
    ½ (cross-entropy + soft Dice), and the moving average of the weights is what is measured and kept."""

    zoom: float = key(1.5, "Images are enlarged or shrunk by up to this factor; 1: off.", at_least(1))
    turn: float = key(15.0, "Images are turned by up to so many degrees, either way.", between(0, 180))
    flip_prob: float = key(
        0.5, "Chance of each of the two mirrorings; of one where up and down matter.", between(0, 1)
    )
    rotate_prob: float = key(
        0.5, "Chance of a turn by right angles, where up and down do not matter.", between(0, 1)
    )
    view: View = group(
        View(
            blur=1, noise=8, contrast=0.3, brightness=25.0, contrast_prob=0.8, blur_prob=0.2, noise_prob=0.3
        ),
        "Photometry of labeled images.",
    )
    ema_decay: float = key(0.99, "Largest decay of the weights' moving average; 0: off.", below(1))


@dataclasses.dataclass(frozen=True)
class Augment:
    """Strength per generation, methods.md 1.7."""

    blur: tuple[int, ...] = key(..., "Largest radius of the blur, in pixels, from 0 to 3.")
    noise: tuple[int, ...] = key(
        ..., "Uniform noise: largest change of a pixel, in gray levels, at most 255."
    )
    contrast: tuple[float, ...] = key(..., "The factor is drawn from 1 ± contrast.")
    brightness: tuple[float, ...] = key(..., "Gray levels that are added, drawn from ± brightness.")


@dataclasses.dataclass(frozen=True)
class AugmentStrength:
    """Of photometry, methods.md 1.8."""

    blur: int = key(..., "Largest radius of the blur, in pixels, from 0 to 3.")
    noise: int = key(..., "Uniform noise: largest change of a pixel, in gray levels, at most 255.")
    contrast: float = key(..., "The factor is drawn from 1 ± contrast.")
    brightness: float = key(..., "Gray levels that are added, drawn from ± brightness.")


@dataclasses.dataclass(frozen=True)
class Aldt(AugmentStrength):
    """The augmented labeled set, made once."""

    copies: int = key(9, "Augmented copies of every labeled pair.", at_least(0))


@dataclasses.dataclass(frozen=True)
class Ensemble(AugmentStrength):
    """Who labels: several nets, or several views of one net. The strength is the views'."""

    members: int = key(
        2,
        "Nets: the best n of the last generation, and of EvalNets the best n (methods.md 1.2).",
        at_least(1),
    )
    tta_views: int = key(3, "Views of Input Ensemble.", at_least(1))


@dataclasses.dataclass(frozen=True)
class Consistency(Augment):
    """Consistency loss, methods.md 1.2 and 1.7: strengths low, mid, high of the two views."""

    level: str = key("mid", "Strength of the views: `low`, `mid` or `high`.", one_of(LEVELS))
    epochs: int = key(
        100,
        "Epochs, each over the labeled and the unlabeled batches; with `train.budget=equal` there are those "
        "of `train` instead.",
        at_least(1),
    )


@dataclasses.dataclass(frozen=True)
class Mask:
    """Inconsistency mask, methods.md 1.3."""

    erode: int = key(0, "Size of the square kernel that erodes the mask; 0: off.", KERNEL)
    dilate: int = key(0, "Size of the square kernel that dilates it afterwards; 0: off.", KERNEL)
    zero_image: bool = key(True, 'Inconsistent pixels of the image become 0 ("block input").')
    zero_label: bool = key(True, 'Inconsistent pixels of the label become 0 ("block output").')
    image_value: str = key(
        "zero",
        "With `zero_image`: `zero`, as published, or `mean`, the mean color of the image's other pixels, "
        "which an encoder that has seen photographs takes for less of an object.",
        one_of(BLOCKED_IMAGES),
    )
    label_value: str = key(
        "zero",
        "With `zero_label`: `zero`, as published, or `void`, which counts in no loss.",
        one_of(BLOCKED_LABELS),
    )
    require_same_classes: bool = key(
        False, "Drop an image when the members' sets of predicted classes differ."
    )


@dataclasses.dataclass(frozen=True)
class EvalNetData(AugmentStrength):
    """The pairs that EvalNets learn from, methods.md 1.6; the strength is that of every other pair."""

    epochs: int = key(10, "Passes over the labeled images.", at_least(1))
    val_epochs: int = key(3, "Passes over the val images.", at_least(1))
    min_members: int = key(2, "Candidates drawn per pair: at least so many.")
    max_members: int = key(4, "Candidates drawn per pair: at most so many.")
    kernels: tuple[int, ...] = key(
        KERNELS,
        "Sizes that erosion and dilation are drawn from.",
        Constraint(lambda v: bool(v) and set(v) <= set(KERNELS), f"sizes of {KERNELS}"),
    )
    val_members: int = key(
        3, "Method `evalnet`: nets of each start stage whose masks of val images are scored.", at_least(1)
    )


@dataclasses.dataclass(frozen=True)
class EvalNet:
    """EvalNets and their use, methods.md 1.4 to 1.6; the thresholds are SUIM's."""

    width: float = key(2.0, "α of EvalNets.", more_than(0))
    num_nets: int = key(
        5, "EvalNets that are trained; the best `ensemble.members` of them score.", at_least(1)
    )
    min_score: float = key(0.43, "MIN of the copy counts: pairs up to this score get one copy.")
    max_score: float = key(0.51, "MAX: pairs above it get five.")
    keep_threshold: float = key(0.51, "Method `evalnet` keeps masks from this score on.")
    least_share: float = key(
        1 / 3,
        "Method `evalnet`, whose training sets are small at first: its epochs have at least this share of "
        "the full training set's steps; 0: no floor, as published for ISIC 2018.",
        between(0, 1),
    )
    pairs: EvalNetData = group(EvalNetData(blur=1, noise=10, contrast=0.2, brightness=10.0))
    train: Train = group(Train(), "Training of EvalNets.")


GROWING = Augment(
    blur=(0, 1, 1, 2, 3),
    noise=(5, 10, 15, 20, 25),
    contrast=(0.1, 0.2, 0.3, 0.4, 0.5),
    brightness=(5.0, 10.0, 15.0, 20.0, 25.0),
)
LOW_MID_HIGH = Consistency(
    blur=(1, 2, 3), noise=(10, 17, 25), contrast=(0.15, 0.3, 0.5), brightness=(10.0, 17.0, 25.0)
)


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run; the defaults are the published protocol (Vorndran & Roeck, arXiv 2401.14387)."""

    method: str = key("aim_pp", "Name in `imjax.methods.registry`.")
    seed: int = key(
        0,
        "Of all that is drawn, but for the division of the data (`data.split_seed`).",
        Constraint(lambda v: 0 <= v < 2**63, "at least 0, less than 2^63"),
    )
    generations: int = key(
        5, "Times that the unlabeled images are labeled and new nets trained.", at_least(0)
    )
    num_baseline_nets: int = key(10, "Nets trained from different seeds for LDT, ALDT and FDT.", at_least(1))
    num_nets: int = key(5, "Nets trained from different seeds per generation.", at_least(1))
    report_top_k: int = key(4, "Candidates, best on val first, whose mean is reported.", at_least(1))
    baselines: tuple[str, ...] = key(
        (),
        "Start methods to train beside the method, for comparison: `ldt`, `aldt`, `fdt`.",
        some_of(("ldt", "aldt", "fdt")),
    )
    nets_per_device: int = key(
        0,
        "Most members that a device holds at once; 0: on a CPU one, elsewhere as many as fit its memory.",
        at_least(0),
    )
    devices_per_net: int = key(
        0,
        "Most devices that share each batch of a net where there are more devices than nets; 0: on a CPU "
        "one, elsewhere all that would be idle.",
        at_least(0),
    )
    member_execution: str = key(
        "auto",
        "How the members of a device run: `batched` (`vmap`), `sequential` (one after another inside one "
        "program), or `auto`.",
        one_of(EXECUTIONS),
    )
    max_device_dataset_mib: int = key(
        4096, "Sets up to this size stay on the device; larger ones stream from the host.", at_least(0)
    )
    eval_batch_size: int = key(
        32, "Images per call where nets predict: val, test, pseudo-labels.", at_least(1)
    )
    on_nan: str = key(
        "stop",
        "When a candidate's loss is not finite: `stop` the run, or `drop` the candidate, which then is "
        "ranked last and in no ensemble. May be changed in a run's folder, to go on after a stop.",
        one_of(("stop", "drop")),
    )
    tracker: str = key(
        "none",
        "Who gets the scalars of the run beside TensorBoard: `wandb` (Weights & Biases) or `mlflow`, with "
        "the extra of that name; where they go is for their own environment variables to say.",
        one_of(TRACKERS),
    )
    empty_iou: str = key(
        "dataset",
        "IoU of an image (multilabel: channel) without an object in truth and prediction: `zero`, as the "
        "Inconsistency Masks paper counts it, `one`, or `dataset`: zero on its sets (ISIC 2018, HeLa), one "
        "elsewhere. The report says which rule a table has.",
        one_of(EMPTY_IOUS),
    )
    select_on_test: bool = key(
        False,
        "Rank candidates on test instead of val, as the published HeLa code does: for replication only.",
    )
    recipe: str = key(
        "published",
        "How nets are trained: `published`, as their method's paper has it; `strong`, with the views, the "
        "loss and the averaged weights of `strong`, for images of your own.",
        one_of(RECIPES),
    )
    data: Data = group(Data())
    model: Model = group(Model())
    train: Train = group(Train())
    strong: StrongRecipe = group(StrongRecipe())
    augment: Augment = group(GROWING)
    aldt: Aldt = group(Aldt(blur=3, noise=25, contrast=0.5, brightness=25.0))
    ensemble: Ensemble = group(Ensemble(blur=1, noise=15, contrast=0.3, brightness=15.0))
    consistency: Consistency = group(LOW_MID_HIGH)
    mask: Mask = group(Mask())
    evalnet: EvalNet = group(EvalNet())
    joint: Joint = group(Joint())
