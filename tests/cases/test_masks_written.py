"""A mask that imjax writes for a folder is read as the folder's own are."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mask_folders import SIZE, STEMS, list_problems, make_folder, read_folder, save_noise, scene
from test_masks import KINDS

from imjax.data.folder.mask_writer import default_formats, learn_formats, write_mask
from imjax.data.folder.reader import Folder
from imjax.data.spec import VOID


def learn(raw, kind="auto"):
    reader = Folder(kind)
    reader.scan(raw)
    assert reader.spec
    return learn_formats(reader.files, reader.meaning)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_written_mask_is_one_of_the_folders_own(kind, tmp_path):
    scenes = {stem: scene(i) for i, stem in enumerate(STEMS)}
    for stem in STEMS[::2]:
        scenes[stem][np.isin(scenes[stem], kind.some)] = 0
    masks = {stem: kind.make(label) for stem, label in scenes.items()}
    raw = make_folder(tmp_path, masks, kind.save, kind.ending, kind.table)
    save_noise(raw / "images" / "new.png", 99)
    label = np.array(kind.labels, np.uint8)[scene(9)]
    # No net predicts void.
    label[label == VOID] = kind.labels[0] if kind.labels[0] != VOID else kind.labels[1]
    (path,) = write_mask(raw / "masks", "new", label, learn(raw, kind.kind))
    assert path == raw / "masks" / f"new{kind.ending}"
    reader = Folder(kind.kind)
    samples = [sample for part in reader.scan(raw).values() for sample in part if sample.name == "new"]
    assert reader.spec.classes[reader.spec.reserved :] == kind.classes
    np.testing.assert_array_equal(reader.load(samples[0])[1], label)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [("{}_mask", "new_mask.png"), ("{}", "new.png"), ("mask_{}", "mask_new.png"), ("{}.seg", "new.seg.png")],
)
def test_names_are_the_folders_own(names, wanted, tmp_path):
    raw = make_folder(tmp_path, {stem: scene(i) for i, stem in enumerate(STEMS)})
    for stem in STEMS:
        (raw / "masks" / f"{stem}.png").rename(raw / "masks" / f"{names.format(stem)}.png")
    save_noise(raw / "images" / "new.png", 99)
    (path,) = write_mask(raw / "masks", "new", scene(3) + 1, learn(raw))
    assert path.name == wanted and list_problems(raw) == []
    assert (read_folder(raw)[1]["new"] == scene(3) + 1).all()


def test_a_mask_for_each_label(tmp_path):
    raw = make_folder(tmp_path, {stem: scene(i) for i, stem in enumerate(STEMS)})
    planes = {label: scene(i) > 0 for i, label in enumerate(("alive", "dead"))}
    for i, stem in enumerate(STEMS):
        (raw / "masks" / f"{stem}.png").unlink()
        for k, label in enumerate(planes):
            formats = default_formats("binary", ["x"], [(9, 9, 9)])
            write_mask(raw / "masks" / label, stem, np.uint8(scene(i, 1 + k) > 0), formats)
    save_noise(raw / "images" / "new.png", 99)
    label = np.stack(list(planes.values()), -1).astype(np.uint8)
    paths = write_mask(raw / "masks", "new", label, learn(raw))
    assert [path.relative_to(raw).as_posix() for path in paths] == [
        "masks/alive/new.png",
        "masks/dead/new.png",
    ]
    assert list_problems(raw) == [] and (read_folder(raw)[1]["new"] == label).all()


@pytest.mark.parametrize("classes", [1, 2])
def test_outlines_with_holes_and_what_lies_in_them(classes, tmp_path):
    for i, stem in enumerate(STEMS):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "masks").mkdir(exist_ok=True)
        save_noise(tmp_path / "images" / f"{stem}.png", i)
        shapes = [
            {
                "label": name,
                "points": [[2 + 9 * k, 3], [8 + 9 * k, 3], [8 + 9 * k, 9]],
                "shape_type": "polygon",
            }
            for k, name in enumerate(("cat", "dog")[:classes])
        ]
        content = {"shapes": shapes, "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
        (tmp_path / "masks" / f"{stem}.json").write_text(json.dumps(content))
    save_noise(tmp_path / "images" / "new.png", 99)
    label = np.zeros(SIZE, np.uint8)
    label[2:20, 3:25] = 1
    label[5:17, 6:20] = 0  # a hole
    label[8:13, 9:15] = classes  # in the hole, of the other class where there is one
    label[10, 11] = 0
    label += classes - 1  # of several classes the ground is 1
    (path,) = write_mask(tmp_path / "masks", "new", label, learn(tmp_path))
    assert path.name == "new.json" and list_problems(tmp_path) == []
    assert (read_folder(tmp_path)[1]["new"] == label).all()
