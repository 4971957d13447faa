"""What holds for every reader of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imjax.config.schema import Data
from imjax.data import pack, palette, preprocess
from imjax.data.readers import registry
from imjax.data.spec import VOID
from imjax.data.synthetic import writers
from imjax.errors import UserError

DATASETS = ("camvid", "cityscapes", "dagm", "dsb2018", "isic2018", "mt", "neu_seg", "suim")


def options_of(dataset, **chosen):
    return Data(dataset, **chosen, split=registry.spec(dataset).splits[0])


@pytest.mark.parametrize("dataset", DATASETS)
def test_packed_is_what_was_written(dataset, originals, tmp_path):
    raw = originals / dataset
    options = options_of(dataset, dir=str(raw), height=32, width=48, label_fraction=0.5)
    packed = pack.load_packed(pack.prepare_dataset(options, tmp_path))
    assert packed.spec == registry.spec(dataset)
    sources = [source for split in packed.splits.values() for source in set(split.sources)]
    assert len(sources) == len(set(sources)) and not any(packed.manifest["common_sources"].values())
    reader, rules = registry.make(options), (packed.spec.label_resize, packed.spec.image_resize)
    written = {(s.source, s.name): s for samples in reader.scan(raw).values() for s in samples}
    splits = packed.splits.values()
    assert sorted(written) == sorted(pair for s in splits for pair in zip(s.sources, s.names, strict=True))
    for name, split in packed.splits.items():
        assert len(split.images) >= 1, name
        for i, title in enumerate(zip(split.sources, split.names, strict=True)):
            pair = reader.load(written[title])
            ((image, label),) = preprocess.cut_crops(*pair, split.names[i], options, *rules)
            assert (split.images[i] == image).all() and (split.labels[i] == label).all()


@pytest.mark.parametrize("dataset", DATASETS)
def test_labels_are_those_of_the_spec(dataset, originals):
    reader = registry.make(options_of(dataset))
    seen = set()
    for samples in reader.scan(originals / dataset).values():
        assert [s.name for s in samples] == sorted({s.name for s in samples})
        for sample in samples:
            image, label = reader.load(sample)
            assert image.shape == (96, 128, reader.spec.channels) and label.shape == (96, 128)
            assert image.dtype == label.dtype == np.uint8
            seen |= set(np.unique(label).tolist())
    spec = reader.spec
    valid = {0, 1} if spec.kind == "binary" else set(range(int(spec.reserved), spec.outputs))
    assert seen <= valid | {VOID} and len(seen & valid) >= 2
    assert len(spec.palette) == spec.outputs


@pytest.mark.parametrize("dataset", ("acdc", "la", *DATASETS))
def test_missing_data_explains_itself(dataset, tmp_path):
    with pytest.raises(UserError) as info:
        registry.make(options_of(dataset)).scan(tmp_path / "nothing")
    spec = registry.spec(dataset)
    says = (spec.title, "nothing", spec.source, f"imjax.prepare --dataset={dataset}", "configs/demo.py")
    for part in (*says, *spec.layout.splitlines()):
        assert part in str(info.value)


def test_every_dataset_has_defaults_and_every_downloaded_one_a_writer():
    assert set(registry.DEFAULTS) == set(registry.names())
    assert set(writers.WRITERS) == set(registry.names()) - {"synthetic"}


def test_a_changed_mask_file_is_noticed(copied, tmp_path):
    raw, cache = copied("dsb2018"), tmp_path / "cache"
    options = Data("dsb2018", str(raw), height=32, width=32)
    before = pack.prepare_dataset(options, cache)
    mask = next(Path(raw).glob("stage1_train/*/masks/*.png"))
    mask.write_bytes(mask.read_bytes() + b"\0")
    assert pack.prepare_dataset(options, cache) != before


@pytest.mark.parametrize("name", sorted(set(registry.READERS) - {"suim", "camvid", "cityscapes"}))
def test_sets_without_colors_of_their_own_get_those_that_the_color_blind_tell_apart(name):
    spec = registry.spec(name)
    objects = spec.palette[int(spec.background or spec.reserved) :]
    objects = [color for color in objects if color != palette.BACKGROUND]
    # Darker ones from the eighth on.
    assert objects[:7] == list(palette.OBJECTS[: len(objects)])
    assert objects == list(palette.object_colors(len(objects))) and len(set(objects)) == len(objects)
