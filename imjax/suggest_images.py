"""Which images to mask next: those that stand for many whose predicted masks are likely to be bad.

  imjax suggest --workdir=runs/mine
  imjax suggest --workdir=runs/mine --images=new_images --count=20 --out=to_correct

OUT/suggestions.csv lists them, the worst first; OUT/masks has their predicted masks in the format of the
folder's own, and OUT/overlay shows them. Correct the masks, move them into the folder's `masks`, and train
again: docs/how-to/label_loop.md.
"""

# Not named `suggest`: that is the function of the package, which a module of the name would hide.

from __future__ import annotations

from absl import flags

from imjax import cli, log
from imjax.errors import ErrorCode, UserError
from imjax.user_paths import expand_path

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("workdir", None, "Folder of a run on a folder of your own.")
    flags.DEFINE_string(
        "images", None, "Folder with new images. Default: the images of the run's folder without a mask."
    )
    flags.DEFINE_integer("count", 10, "Images to suggest at most.")
    flags.DEFINE_string("out", None, "Folder to write to. Default: WORKDIR/suggestions.")
    flags.DEFINE_string("stage", None, "Whose nets, e.g. train_g1. Default: the last of the run's method.")


def main(_: list[str]) -> None:
    """Read the flags, choose images, write their masks and print the list."""
    log.show()
    if FLAGS.workdir is None:
        raise UserError(
            "--workdir is missing, expected the folder of a run, e.g. --workdir=runs/mine",
            code=ErrorCode.MISSING,
            field="--workdir",
        )
    log.logger.info("loading the networks of %s", FLAGS.workdir)
    # What imports JAX comes after the flags, so that --help and mistyped flags take no time.
    from imjax import api
    from imjax.data import pack
    from imjax.training import devices, memory

    devices.configure(pack.default_cache(), 1)
    devices.check_backend()
    workdir = expand_path(FLAGS.workdir, "--workdir")
    out = workdir / "suggestions" if FLAGS.out is None else expand_path(FLAGS.out, "--out")
    images = None if FLAGS.images is None else expand_path(FLAGS.images, "--images")
    with memory.translate_oom("prediction", "use a computer with more memory, or smaller images"):
        found = api.suggest(workdir, images, FLAGS.count, out=out, stage=FLAGS.stage)
    for suggestion in found:
        print(f"{suggestion.score:.2f}  {suggestion.image}  {suggestion.reason}")
    print(f"\n{len(found)} masks to correct: {out / 'masks'}; then move them to the folder's masks")


if __name__ == "__main__":
    from imjax.training.devices import keep_memory

    keep_memory()
    define_flags()
    cli.run(main)
