"""Masks for new images, from the nets of a run.

  python -m imjax.predict --workdir=runs/demo --images=new_images --out=predicted

OUT/masks has the class of every pixel (classes.csv says which is which), OUT/colour and OUT/overlay the same
for the eye, OUT/inconsistency where the two best nets disagree, and OUT/predictions.csv one line per image,
first the images that are worth labeling next. Large images: --tile. One file for use elsewhere:

  python -m imjax.predict --workdir=runs/demo --export=net.stablehlo
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from imjax import cli, log
from imjax.errors import PartialFailure, UserError
from imjax.log import logger

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("workdir", None, "Folder of a run of imjax.main; a copy from elsewhere will do.")
    flags.DEFINE_string("images", None, "Folder with the images (png, jpg, tif, bmp; any size).")
    flags.DEFINE_string("out", None, "Folder to write to, outside of --images. Made if missing.")
    flags.DEFINE_string("stage", None, "Whose nets, e.g. train_g1. Default: the last of the run's method.")
    flags.DEFINE_integer("nets", 1, "How many nets, best on val first, decide by their mean probability.")
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
    flags.DEFINE_integer(
        "batch", None, "Images (or tiles) per call; default: as in the run. Lower: less memory."
    )
    flags.DEFINE_string(
        "export", None, "Also, or only, write the nets to this file, to be run without imjax."
    )


def main(_: list[str]) -> None:
    """Read the flags, predict and export; UserError for what the caller can mend."""
    log.show()
    _check()
    # What imports JAX comes after the flags, so that --help and slips take no time.
    from imjax.data import pack
    from imjax.inference import export, load_run, predict_folder
    from imjax.training import devices, memory

    stage = load_run.open_stage(Path(FLAGS.workdir), FLAGS.stage, FLAGS.batch)
    asked = predict_folder.members(stage, FLAGS.nets)
    files = _files()
    devices.configure(pack.default_cache(), asked)
    logger.info("%s: %s of %d nets", stage.folder, _best(FLAGS.nets), len(stage.ranked))
    if FLAGS.export:
        export.write(stage, FLAGS.nets, Path(FLAGS.export))
        print(f"exported: {FLAGS.export}; images for it as docs/how-to/predict.md says: {_needs(stage)}")
    if files:
        advice = "give the same command with a lower --batch, or with fewer --nets"
        with memory.explained("prediction", advice):
            _predict(predict_folder.Run(stage, FLAGS.nets, _cutting(stage)), files)


def _needs(stage) -> str:
    """What images for the exported nets must be."""
    height, width = stage.size
    first = "gray levels stretched, then " if stage.data.stretch else ""
    how = "tiles" if stage.data.grid else "padded" if stage.data.fit == "pad" else "resized"
    return f"uint8, {first}{how}, {width}x{height} (w x h)"


def _check() -> None:
    if FLAGS.workdir is None:
        raise UserError("--workdir is missing, expected the folder of a run, e.g. --workdir=runs/demo")
    if FLAGS.images is None and FLAGS.export is None:
        raise UserError("--images is missing, expected a folder with images, e.g. --images=new_images")
    if FLAGS.images is not None and FLAGS.out is None:
        raise UserError("--out is missing, expected the folder to write to, e.g. --out=predicted")
    if not 0 <= FLAGS.overlap < 1:
        raise UserError(f"--overlap={FLAGS.overlap}: expected 0 or more, less than 1")
    if FLAGS.batch is not None and FLAGS.batch < 1:
        raise UserError(f"--batch={FLAGS.batch}: expected 1 or more")
    if FLAGS.scale <= 0:
        raise UserError(f"--scale={FLAGS.scale}: expected a factor above 0, such as 0.5")


def _files() -> list[Path]:
    if FLAGS.images is None:
        return []
    from imjax.data import image_io
    from imjax.inference import predict_folder

    folder = Path(FLAGS.images)
    files = image_io.find(folder)
    predict_folder.check_folders(folder, Path(FLAGS.out))
    return files


def _cutting(stage):
    from imjax.inference import sliding_window

    views = sliding_window.symmetries(stage.spec, stage.size) if FLAGS.flips else sliding_window.AS_IT_IS
    height, width = stage.size
    tile, pad = stage.data.grid if FLAGS.tile is None else FLAGS.tile, stage.data.fit == "pad"
    if not tile and FLAGS.scale != 1:
        raise UserError(f"--scale={FLAGS.scale} is for tiles; add --tile, or leave it out")
    if tile:
        logger.info("tiles of %dx%d (w x h) pixels at scale %g", width, height, FLAGS.scale)
    elif pad:
        logger.info("images are put into the middle of %dx%d (w x h), shrunk if larger", width, height)
    else:
        logger.info("images are resized to %dx%d (w x h) and the result back", width, height)
        if stage.data.cropped:
            logger.info("the nets were trained on crops: --tile may suit them better")
    if stage.data.stretch:
        logger.info("gray levels of each image are brought to one range first, as in training")
    return sliding_window.Tiler(
        stage.size, views, tile, FLAGS.overlap, FLAGS.scale,
        stretch=stage.data.stretch, pad=pad, image_resize=stage.spec.image_resize,
    )  # fmt: skip


def _predict(run, files: list[Path]) -> None:
    out = Path(FLAGS.out)
    if len(run.stage.ranked) == 1:
        logger.info("the stage has a single net: nothing disagrees with it, inconsistency masks are empty")
    logger.info("predicting %d images", len(files))
    run(files, out)
    if run.rows:
        print(f"{len(run.rows)} images predicted; which to label next: {out / 'predictions.csv'}")
    if run.failed:
        lines = "\n  ".join(run.failed)
        raise PartialFailure(f"{len(run.failed)} of {len(files)} files could not be read:\n  {lines}")


def _best(nets: int) -> str:
    return "the best" if nets == 1 else f"the mean probability of the best {nets}"


if __name__ == "__main__":
    from imjax.training.devices import keep_memory

    keep_memory()
    define_flags()
    cli.run(main)
