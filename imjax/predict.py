"""Masks for new images, from the nets of a run.

  python -m imjax.predict --workdir=runs/demo --images=new_images --out=predicted

OUT/masks has the class of every pixel (classes.csv says which is which), OUT/colour and OUT/overlay the same
for the eye, OUT/inconsistency where the two best nets disagree, and OUT/predictions.csv one line per image,
first the images that are worth labeling next. OUT/instances and OUT/objects.csv have the objects one by one.
Large images: --tile. --truth=MASKS compares with masks drawn by hand. One file for use elsewhere:

  python -m imjax.predict --workdir=runs/demo --export=net.onnx
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from imjax import cli, log
from imjax.errors import ErrorCode, PartialFailure, UserError
from imjax.log import logger
from imjax.user_paths import expand_path

if TYPE_CHECKING:
    from imjax.inference.sliding_window import Tiler
    from imjax.inference.trained_model import TrainedModel

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("workdir", None, "Folder of a run of imjax.main; a copy from elsewhere will do.")
    text = "Folder with images (png, jpg, tif, bmp, webp, gif; any size), or one image."
    flags.DEFINE_string("images", None, text)
    flags.DEFINE_string("out", None, "Folder to write to, outside of --images. Made if missing.")
    flags.DEFINE_string("stage", None, "Whose nets, e.g. train_g1. Default: the last of the run's method.")
    flags.DEFINE_integer(
        "nets",
        0,
        "How many nets, best on val first, decide by their mean probability; 0: four, or all if fewer.",
    )
    flags.DEFINE_bool(
        "tile",
        None,
        "Tiles of the training size instead of the whole image, shrunk to it. Default: as in training.",
    )
    flags.DEFINE_float(
        "overlap", 0.25, "With --tile: share of its side that a tile has in common with the next."
    )
    flags.DEFINE_float("scale", 1.0, "With --tile: factor by which an image is resized before it is cut.")
    flags.DEFINE_bool(
        "flips",
        False,
        "Mean over mirrored (and, where up and down do not matter, turned) views: slower, steadier.",
    )
    flags.DEFINE_bool(
        "split_touching",
        True,
        "Objects that touch are taken apart where the piece is narrow, and counted so.",
    )
    flags.DEFINE_integer("min_area", 1, "Objects of fewer pixels are not counted.")
    text = "Folder with masks of the images, drawn by hand: IoU, object F1 and count error of each image."
    flags.DEFINE_string("truth", None, text)
    flags.DEFINE_integer(
        "batch", None, "Images (or tiles) per call; default: as in the run. Lower: less memory."
    )
    flags.DEFINE_string(
        "export",
        None,
        "Also, or only, write the nets to this file, to be run without imjax: .onnx, .stablehlo, or .zip (a "
        "package of the BioImage Model Zoo).",
    )


def main(_: list[str]) -> None:
    """Read the flags, predict and export; UserError for what the caller can fix."""
    log.show()
    _check()
    logger.info("loading the networks of %s", FLAGS.workdir)
    # What imports JAX comes after the flags, so that --help and mistyped flags take no time.
    from imjax.data import pack
    from imjax.inference.load_run import load_model
    from imjax.training import devices, memory

    model = load_model(expand_path(FLAGS.workdir, "--workdir"), FLAGS.stage, FLAGS.batch)
    nets = model.choose_nets(FLAGS.nets)
    count = model.count_nets(nets)
    files = _files()
    devices.configure(pack.default_cache(), count)
    devices.check_backend()
    logger.info("networks: %s of %d of the stage %s", _best(nets), len(model.ranked), model.name)
    if FLAGS.export is not None:
        path = expand_path(FLAGS.export, "--export")
        model.export(path, nets)
        print(f"exported: {path}; {path.with_suffix('.json')} says what its images must be")
    if files:
        advice = "give the same command with a lower --batch, or with fewer --nets"
        with memory.translate_oom("prediction", advice):
            _predict(model, files, nets)


def _check() -> None:
    if FLAGS.workdir is None:
        raise UserError(
            "--workdir is missing, expected the folder of a run, e.g. --workdir=runs/demo",
            code=ErrorCode.MISSING,
            field="--workdir",
        )
    if FLAGS.images is None and FLAGS.export is None:
        raise UserError(
            "--images is missing, expected a folder with images, e.g. --images=new_images",
            code=ErrorCode.MISSING,
            field="--images",
        )
    if FLAGS.images is not None and FLAGS.out is None:
        raise UserError(
            "--out is missing, expected the folder to write to, e.g. --out=predicted",
            code=ErrorCode.MISSING,
            field="--out",
        )
    if not 0 <= FLAGS.overlap < 1:
        raise UserError(
            f"--overlap={FLAGS.overlap}: expected 0 or more, less than 1",
            code=ErrorCode.OUT_OF_RANGE,
            field="--overlap",
        )
    if FLAGS.batch is not None and FLAGS.batch < 1:
        raise UserError(
            f"--batch={FLAGS.batch}: expected 1 or more", code=ErrorCode.OUT_OF_RANGE, field="--batch"
        )
    if FLAGS.min_area < 1:
        raise UserError(
            f"--min_area={FLAGS.min_area}: expected 1 or more pixels",
            code=ErrorCode.OUT_OF_RANGE,
            field="--min_area",
        )
    if FLAGS.truth is not None and FLAGS.images is None:
        raise UserError(
            "--truth is for --images; expected both, or neither", code=ErrorCode.CONFLICT, field="--truth"
        )
    if not 0 < FLAGS.scale < math.inf:
        raise UserError(
            f"--scale={FLAGS.scale:g}: expected a factor above 0, such as 0.5",
            code=ErrorCode.OUT_OF_RANGE,
            field="--scale",
        )


def _files() -> list[Path]:
    if FLAGS.images is None:
        return []
    from imjax.data import image_io
    from imjax.inference import predict_folder

    given = expand_path(FLAGS.images, "--images")
    files = [given] if given.is_file() else image_io.find_images(given)
    predict_folder.check_folders(given, expand_path(FLAGS.out, "--out"))
    return files


def _make_tiler(model: TrainedModel) -> Tiler:
    assert model.inputs is not None, "a model that is loaded from a run knows what it was trained on"
    height, width = model.size
    tile = model.inputs.is_grid if FLAGS.tile is None else FLAGS.tile
    if not tile and FLAGS.scale != 1:
        raise UserError(
            f"--scale={FLAGS.scale} is for tiles; add --tile, or leave it out",
            code=ErrorCode.CONFLICT,
            field="--scale",
        )
    if tile:
        logger.info("tiles of %dx%d (w x h) pixels at scale %g", width, height, FLAGS.scale)
    elif model.inputs.resize_mode == "pad":
        logger.info("images are put into the middle of %dx%d (w x h), shrunk if larger", width, height)
    else:
        logger.info("images are resized to %dx%d (w x h) and the result back", width, height)
        if model.inputs.is_cropped:
            logger.info("the nets were trained on crops: --tile may suit them better")
    if model.inputs.percentile_normalize:
        logger.info("gray levels of each image are brought to one range first, as in training")
    return model.make_tiler(tile, FLAGS.overlap, FLAGS.scale, FLAGS.flips)


def _predict(model: TrainedModel, files: list[Path], nets: int) -> None:
    from imjax.inference.predict_folder import FolderPrediction

    out = expand_path(FLAGS.out, "--out")
    truth = None if FLAGS.truth is None else expand_path(FLAGS.truth, "--truth")
    tiler = _make_tiler(model)
    run = FolderPrediction(model, nets, tiler, FLAGS.split_touching, FLAGS.min_area, truth)
    if len(model.ranked) == 1:
        logger.info("the stage has a single net: nothing disagrees with it, inconsistency masks are empty")
    logger.info("predicting %d image%s", len(files), "s" if len(files) > 1 else "")
    run(files, out)
    if run.rows:
        count = "1 image" if len(run.rows) == 1 else f"{len(run.rows)} images"
        print(
            f"{count} predicted: masks in {out / 'masks'}, the same over the images in {out / 'overlay'}\n"
            f"images whose masks are likely to be worst come first in {out / 'predictions.csv'}"
        )
    if run.comparison is not None and run.comparison.rows:
        print("\n".join([*run.comparison.describe(), f"image by image: {out / 'comparison.csv'}"]))
    if run.failed:
        from imjax.data.image_meaning import group_problems

        lines = "\n  ".join(map(str, group_problems(run.failed)))
        raise PartialFailure(f"{len(run.failed)} of {len(files)} files could not be read:\n  {lines}")


def _best(nets: int) -> str:
    return "the best" if nets == 1 else f"the mean probability of the best {nets}"


if __name__ == "__main__":
    from imjax.training.devices import keep_memory

    keep_memory()
    define_flags()
    cli.run(main)
