"""Masks that imjax writes are seen in any viewer, and read back as the same labels."""

import numpy as np
import pytest
from data.folders import write
from handmade import SPECS, spec
from PIL import Image

from imjax.data.folder.mask_writer import default_formats, write_mask
from imjax.data.folder.reader import Folder
from imjax.data.formats import own_folder
from imjax.data.formats.annotations import AnnotatedImage, AnnotationSet, Region
from imjax.data.palette import BLACK, choose_void_color, paint_labels
from imjax.data.spec import VOID
from imjax.inference import writers
from imjax.inference.prediction import Prediction

SIZE = (12, 16)
KINDS = {
    "binary": SPECS["binary"],
    "multiclass": SPECS["multiclass"],
    "reserved": SPECS["reserved"],
    "multilabel": spec("multilabel", ("alive", "dead")),
}


def prediction(of, seed):
    """Every class in some pixels, none of the reserved one."""
    draw, low = np.random.default_rng(seed), int(of.reserved)
    if of.kind == "multilabel":
        output = draw.integers(0, 2, (*SIZE, of.outputs), np.uint8)
    else:
        output = draw.integers(low, max(of.outputs, 2), SIZE, np.uint8)
    return Prediction(of, output, np.zeros(SIZE, bool), 0.5, np.zeros((*SIZE, of.outputs), np.float32))


def read(raw):
    reader = Folder("auto")
    samples = [sample for part in reader.scan(raw).values() for sample in part]
    return reader, {sample.name: reader.load(sample)[1] for sample in samples}


def write_noise(path):
    image = np.random.default_rng(ord(path.stem)).integers(0, 256, (*SIZE, 3), np.uint8)
    write(path, image)
    return image


def brightest(path):
    """Of the colors that a viewer shows, the largest value of a channel."""
    return np.asarray(Image.open(path).convert("RGB")).max()


@pytest.mark.parametrize("kind", KINDS)
def test_predicted_masks(kind, tmp_path):
    of, raw = KINDS[kind], tmp_path
    writers.make_folders(of, raw)
    made = {stem: prediction(of, i) for i, stem in enumerate("abcde")}
    for stem, each in made.items():
        image = write_noise(raw / "images" / f"{stem}.png")
        writers.write_images(image, each, raw, stem)
    assert all(brightest(path) > 200 for path in (raw / "masks").rglob("*.png"))
    reader, labels = read(raw)
    assert reader.spec.classes[int(reader.spec.reserved) :] == of.classes[int(of.reserved) :]
    for stem, each in made.items():
        # A folder of several classes has a reserved one before them.
        assert (labels[stem] == each.mask + (of.kind == "multiclass")).all()
    if of.kind == "multiclass":
        # Pillow gives the indices of a palette.
        assert (np.asarray(Image.open(raw / "masks" / "a.png")) == made["a"].mask).all()


def test_suggested_masks_of_several_classes_where_no_folder_says_how(tmp_path):
    of = SPECS["reserved"]
    formats = default_formats(of.kind, of.classes[1:], of.palette[1:])
    made = {stem: prediction(of, i).output for i, stem in enumerate("abcde")}
    for stem, label in made.items():
        write(
            tmp_path / "images" / f"{stem}.png", np.random.default_rng(ord(stem)).integers(0, 256, (*SIZE, 3))
        )
        write_mask(tmp_path / "masks", stem, label, formats)
        assert brightest(tmp_path / "masks" / f"{stem}.png") > 200
    _, labels = read(tmp_path)
    assert all((labels[stem] == label).all() for stem, label in made.items())


def test_void_in_converted_masks(tmp_path):
    images = []
    for stem in "abcde":
        path = tmp_path / "from" / f"{stem}.png"
        write_noise(path)
        regions = [Region(name, top, 0, np.ones((4, 8), bool)) for top, name in ((0, "cat"), (4, "void"))]
        images.append(AnnotatedImage(path, SIZE, tuple(regions), path))
    annotations = AnnotationSet(("cat", "dog"), tuple(images), {"cat": (255, 255, 255)})
    own_folder.write(annotations, tmp_path / "to", "auto")
    shown = np.asarray(Image.open(tmp_path / "to" / "masks" / "a.png").convert("RGB")).astype(int)
    cat, void, ground = shown[0, 0], shown[4, 0], shown[9, 0]
    assert all(np.abs(void - other).max() > 50 for other in (cat, ground, BLACK))
    _, labels = read(tmp_path / "to")
    assert (labels["a"][[0, 4, 9], 0] == [2, VOID, 1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_void_in_pictures(kind):
    of = KINDS[kind]
    planes = (1, 3, of.outputs) if of.kind == "multilabel" else (1, 3)
    label = np.zeros(planes, np.uint8)
    label[0, 1], label[0, 2] = 1, VOID
    picture = paint_labels(of, label)
    assert tuple(picture[0, 2]) == choose_void_color(of.palette)
    assert len({tuple(pixel) for pixel in picture[0]}) == 3


def test_a_white_class_leaves_another_color_to_void():
    assert choose_void_color([(0, 0, 0), (90, 0, 0)]) == (255, 255, 255)
    assert choose_void_color([(255, 255, 255)]) == (128, 128, 128)
