"""Pack a dataset for training: every file checked, split by source image, verified by checksum.

  python -m imjax.prepare --dataset=suim --raw=SUIM --out=cache

prints the folder it made. Training does this by itself when needed; do it beforehand to check the data.
Without data, --write_synthetic makes a stand-in in the original layout:

  python -m imjax.prepare --dataset=suim --write_synthetic=fake_suim
  python -m imjax.prepare --dataset=suim --raw=fake_suim --out=cache

--check lists everything that is wrong with a folder of your own (docs/how-to/own_data.md):

  python -m imjax.prepare --dataset=folder --raw=my_data --check

The same commands are `imjax prepare …` and `imjax check my_data`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from absl import flags

from imjax import cli, log
from imjax.config.schema import LABEL_KINDS, PAGES, RESIZE_MODES, Data, is_nodata
from imjax.data import pack
from imjax.data.folder import check
from imjax.data.readers import registry
from imjax.data.readers.base import Sample
from imjax.data.synthetic import writers
from imjax.errors import ErrorCode, UserError
from imjax.log import track
from imjax.user_paths import expand_path

FLAGS = flags.FLAGS
FIXTURE_COUNTS = {"train_val": 40, "train": 30, "val": 10, "val_test": 20, "test": 10, "train_val_test": 50}


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("dataset", None, f"Which dataset: {', '.join(registry.names())}.")
    flags.DEFINE_string("raw", None, "Folder with the original download (not needed for synthetic).")
    flags.DEFINE_string("out", None, "Where the packed folder goes (default: your cache folder).")
    flags.DEFINE_list(
        "size",
        None,
        "Height,width of the packed images, depth,height,width of volumes: multiples of 16, e.g. 256,256.",
    )
    flags.DEFINE_integer("random_crops", None, "Random square crops per image; 0 packs whole images.")
    flags.DEFINE_float("tile_overlap", None, "Overlap of neighbors in a grid of crops of --size; 0: no grid.")
    flags.DEFINE_enum(
        "resize_mode", "resize", RESIZE_MODES, "How an image comes to --size: whole, by crops, or padded."
    )
    flags.DEFINE_bool(
        "percentile_normalize", False, "Bring each image's gray levels to one range, whatever the light."
    )
    flags.DEFINE_float(
        "label_fraction",
        None,
        "Share of the training images that counts as labeled (0.1; folder: 1).",
    )
    flags.DEFINE_float(
        "val_fraction", None, "Share held out for validation where the original has none (0.1; folder: 0.2)."
    )
    flags.DEFINE_float("test_fraction", 0.2, "Share held out for the test where the original is one pool.")
    flags.DEFINE_string("split", None, "Variant of the split, where the dataset has several.")
    flags.DEFINE_integer("split_seed", 0, "Seed of the split and of the crops.")
    flags.DEFINE_enum("label_kind", "auto", LABEL_KINDS, "folder: what the masks are; auto looks at them.")
    flags.DEFINE_enum("pages", "auto", PAGES, "folder: what the pages of images are.")
    flags.DEFINE_enum("alpha", "drop", ("drop", "channel"), "folder: what becomes of transparency.")
    flags.DEFINE_enum(
        "orientation", "apply", ("apply", "ignore"), "folder: turn images as their files say, or not."
    )
    flags.DEFINE_string("nodata", "auto", "folder: value of pixels without data; auto, none or a number.")
    flags.DEFINE_enum(
        "value_scaling", "image", ("image", "folder"), "folder: how more than 8 bits come to 8."
    )
    flags.DEFINE_bool("rotation_invariant", True, "folder: up and down do not matter.")
    flags.DEFINE_bool("check", False, "folder: list all that is wrong, draw a contact sheet, and stop.")
    flags.DEFINE_string("sheet", "contact_sheet.png", "File of the contact sheet of --check.")
    flags.DEFINE_string(
        "write_synthetic", None, "Write synthetic data in the original layout there, and stop."
    )


def main(arguments: list[str]) -> None:
    """Check, pack and describe one dataset; UserError for what the caller can fix."""
    del arguments
    log.show()
    if FLAGS.dataset is None:
        raise UserError(
            f"--dataset is missing, expected one of {', '.join(registry.names())}",
            code=ErrorCode.MISSING,
            field="--dataset",
        )
    if FLAGS.write_synthetic is not None:
        target = expand_path(FLAGS.write_synthetic, "--write_synthetic")
        writers.write_synthetic(FLAGS.dataset, target, FIXTURE_COUNTS)
        print(f"synthetic data in the layout of {FLAGS.dataset}: {target}")
        return
    data = _data_from_flags()
    out = pack.default_cache() if FLAGS.out is None else expand_path(FLAGS.out, "--out")
    if FLAGS.check:
        _check(data)
        return
    packed = pack.load_packed(root := pack.prepare_dataset(data, out))
    print(summary(packed))
    print(f"folder: {root}")


def _check(data: Data) -> None:
    if data.dataset != "folder":
        raise UserError(
            f"--check with --dataset={data.dataset}, expected folder; packing checks others",
            code=ErrorCode.UNSUPPORTED,
            field="--check",
        )
    text, problems = check.check_folder(data, expand_path(FLAGS.sheet, "--sheet"), progress=_show)
    print(text)
    if line := cli.name_flags(text):
        print(line)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        message = f"{data.dir}: {count}, listed above; fix and check again"
        raise UserError(message, code=problems[0].code, field=data.dir)


def _show(samples: list[Sample], what: str) -> Iterator[Sample]:
    yield from track(samples, what)


def summary(packed: pack.PackedDataset) -> str:
    """Table of a packed set: images, sources and class shares in per cent of the pixels, by split."""
    entries = packed.manifest["splits"]
    rows = [["", *entries]]
    rows.append(["images", *(str(entry["count"]) for entry in entries.values())])
    rows.append(["sources", *(str(len(set(entry["sources"]))) for entry in entries.values())])
    for name in next(iter(entries.values()))["shares"]:
        rows.append([f"% {name}", *(f"{100 * entry['shares'][name]:.1f}" for entry in entries.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    data = packed.manifest["data"]
    size = f"{data['width']}x{data['height']} (w x h)"
    if packed.spec.dims == 3:
        size = f"{data['width']}x{data['height']}x{data['depth']} (w x h x d)"
    return "\n".join([f"{packed.spec.title}, {size}", *lines])


def _data_from_flags() -> Data:
    spec = registry.spec(FLAGS.dataset)
    if FLAGS.raw is None and FLAGS.dataset != "synthetic":
        raise UserError(
            "--raw is missing, expected the folder with the original download",
            code=ErrorCode.MISSING,
            field="--raw",
        )
    defaults = registry.DEFAULTS[FLAGS.dataset]
    box = (defaults.get("depth", 0), *defaults["size"])
    depth, height, width = _box(FLAGS.size, spec.dims) if FLAGS.size else box
    return Data(
        dataset=FLAGS.dataset,
        dir="" if FLAGS.raw is None else str(expand_path(FLAGS.raw, "--raw")),
        depth=depth,
        height=height,
        width=width,
        random_crops=_or(FLAGS.random_crops, defaults["random_crops"]),
        tile_overlap=_or(FLAGS.tile_overlap, defaults.get("tile_overlap", 0.0)),
        resize_mode=FLAGS.resize_mode,
        percentile_normalize=FLAGS.percentile_normalize,
        label_fraction=_or(FLAGS.label_fraction, defaults.get("label_fraction", 0.1)),
        val_fraction=_or(FLAGS.val_fraction, defaults.get("val_fraction", 0.1)),
        test_fraction=FLAGS.test_fraction,
        split=_or(FLAGS.split, spec.splits[0]),
        split_seed=FLAGS.split_seed,
        label_kind=FLAGS.label_kind,
        pages=FLAGS.pages,
        alpha=FLAGS.alpha,
        orientation=FLAGS.orientation,
        nodata=_nodata(FLAGS.nodata),
        value_scaling=FLAGS.value_scaling,
        rotation_invariant=FLAGS.rotation_invariant,
    )


def _or(flag: Any, default: Any) -> Any:
    return default if flag is None else flag


def _nodata(text: str) -> str:
    if not is_nodata(text):
        raise UserError(
            f"--nodata={text}, expected auto, none or a number such as -9999",
            code=ErrorCode.MALFORMED,
            field="--nodata",
        )
    return text


def _box(fields: list[str], dims: int) -> tuple[int, int, int]:
    """Depth (0: images), height and width."""
    if len(fields) != dims or not all(field.strip().isdigit() for field in fields):
        wanted = "HEIGHT,WIDTH such as 256,256" if dims == 2 else "DEPTH,HEIGHT,WIDTH such as 96,208,176"
        raise UserError(
            f"--size={','.join(fields)}, expected {wanted}", code=ErrorCode.MALFORMED, field="--size"
        )
    depth, height, width = (int(field) for field in (fields if dims == 3 else ["0", *fields]))
    return depth, height, width


if __name__ == "__main__":
    define_flags()
    cli.run(main)
