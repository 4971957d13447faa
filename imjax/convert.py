"""Annotations from one label tool to another, or to and from a folder that imjax trains on.

  python -m imjax.convert annotations.json my_data --images=pictures
  python -m imjax.convert predicted to_correct --format=labelme --images=new_images

The first makes a folder with images, masks and classes.csv of annotations of COCO, labelme, CVAT, Label
Studio, VOC or QuPath, whose format is seen from their files, or of masks beside the images as Cellpose saves
them (`a.tif`, `a_cp_masks.tif`; they number the objects: --label_kind=binary). The second writes masks for a
label tool. Either side may be a .zip file. The same command is `imjax convert FROM TO`.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from absl import flags

from imjax import cli, log
from imjax.config.schema import LABEL_KINDS
from imjax.errors import ErrorCode, UserError
from imjax.log import logger
from imjax.user_paths import expand_path

FLAGS = flags.FLAGS
FORMATS = ("folder", "labelme", "coco", "cvat", "label_studio", "voc", "qupath")


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    text = "What to write: imjax's own folder, or the files of a label tool."
    flags.DEFINE_enum("format", "folder", FORMATS, text)
    flags.DEFINE_string("images", None, "Folder with the images, where FROM does not hold them.")
    flags.DEFINE_enum(
        "label_kind",
        "auto",
        LABEL_KINDS,
        "From a folder: what its masks are. To a folder: multilabel keeps classes that overlap, multiclass "
        "lets the later object cover the earlier, auto refuses overlap.",
    )


def main(arguments: list[str]) -> None:
    """Read the flags and convert; UserError for what the caller can fix."""
    log.show()
    if len(arguments) != 2:
        raise UserError(
            f"{len(arguments)} arguments, expected two: imjax convert FROM TO --format={'|'.join(FORMATS)}",
            code=ErrorCode.MISSING,
            field="FROM TO",
        )
    source, target = (expand_path(text, name) for text, name in zip(arguments, ("FROM", "TO"), strict=True))
    images = None if FLAGS.images is None else expand_path(FLAGS.images, "--images")
    # The formats need scipy and scikit-image: --help and mistyped flags do not wait for them.
    from imjax.data.formats import conversion

    _check_target(target)
    with _unpacked(source) as folder, _packed(target) as out:
        try:
            annotations = conversion.read_annotations(folder, images, FLAGS.label_kind)
        except UserError as error:
            if line := cli.name_flags(str(error)):
                logger.warning("%s", line)
            raise
        for note in conversion.write_annotations(annotations, out, FLAGS.format, FLAGS.label_kind):
            logger.info("%s", note)
    drawn = sum(len(image.regions or ()) for image in annotations.images)
    print(f"{len(annotations.images)} images, {drawn} regions of {', '.join(annotations.names)}: {target}")


def _check_target(target: Path) -> None:
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(
            f"TO={target}: is there already; expected a new or empty folder, or a new .zip file",
            code=ErrorCode.CONFLICT,
            field="TO",
        )


@contextmanager
def _unpacked(source: Path) -> Iterator[Path]:
    """The source, or the folder to which its .zip file was unpacked."""
    if source.suffix.lower() != ".zip" or not source.is_file():
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(source) as archive:
                for name in archive.namelist():
                    if not (Path(folder) / name).resolve().is_relative_to(Path(folder).resolve()):
                        raise UserError(
                            f"{source}: path {name!r} in it leads out of the folder; pack it again",
                            code=ErrorCode.MALFORMED,
                            field=str(source),
                        )
                archive.extractall(folder)
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise UserError(
                f"{source}: no readable .zip file ({error}); export it again",
                code=ErrorCode.UNREADABLE,
                field=str(source),
            ) from error
        yield Path(folder)


@contextmanager
def _packed(target: Path) -> Iterator[Path]:
    """The folder to write to, which becomes the target once all is written: no half is left behind."""
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=".convert-") as temporary:
            folder = Path(temporary) / "out"
            folder.mkdir()
            yield folder
            if target.suffix.lower() == ".zip":
                made = shutil.make_archive(str(Path(temporary) / "packed"), "zip", folder)
                shutil.move(made, target)
            else:
                if target.is_dir():
                    target.rmdir()
                folder.rename(target)
    except OSError as error:
        raise UserError(
            f"TO={target}: cannot be written: {error.strerror or error}; name another folder",
            code=ErrorCode.UNWRITABLE,
            field="TO",
        ) from error


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=True)
