"""Numbers of steps in a plan, against those of the papers (methods.md 1.13 and 2.1)."""

import pytest

from imjax.config import get_config
from imjax.config.convert import freeze
from imjax.data.readers import registry
from imjax.data.splits import ImageCounts
from imjax.pipeline.count_steps import count_images, count_steps
from imjax.pipeline.plan import describe, make_plan

ISIC = ImageCounts(259, 2335)
# Dataset, method, stage: fewest and most steps of a whole training.
PUBLISHED = [
    ("isic2018", "ldt", "train_ldt", 400, 400),
    ("isic2018", "aldt", "train_aldt", 4_000, 4_000),
    ("isic2018", "fdt", "train_fdt", 4_050, 4_050),
    ("isic2018", "im", "train_g0", 4_050, 4_050),
    ("isic2018", "im_p", "train_g4", 4_050, 4_050),
    ("isic2018", "aim_p", "train_g0", 11_300, 11_300),
    ("isic2018", "im_pp", "train_g0", 4_050, 18_600),
    ("isic2018", "aim_pp", "train_g0", 11_300, 25_900),
    ("suim", "ldt", "train_ldt", 400, 400),
    # Published: 4 300. A tenth of the images is 138 there and 137 here.
    ("suim", "aldt", "train_aldt", 4_250, 4_250),
    ("suim", "fdt", "train_fdt", 4_250, 4_250),
    ("suim", "im", "train_g0", 4_250, 4_250),
    ("suim", "aim_p", "train_g0", 12_000, 12_000),
    ("cityscapes", "ldt", "train_ldt", 450, 450),
    # Published: 4 600. A tenth of 2 975 images is 297 there and, rounded, 298 here.
    ("cityscapes", "aldt", "train_aldt", 4_650, 4_650),
    ("cityscapes", "fdt", "train_fdt", 4_600, 4_600),
    ("cityscapes", "im", "train_g0", 4_600, 4_600),
    ("cityscapes", "aim_p", "train_g0", 13_000, 13_000),
    ("neu_seg", "simeps", "train_simeps", 48_000, 48_000),
]


def plan_of(dataset, method, **changes):
    config = get_config(dataset, method)
    config.update_from_flattened_dict(changes)
    config = freeze(config.to_dict())
    counts = registry.published_image_counts(config.data) or ISIC
    return make_plan(config), counts


@pytest.mark.parametrize(("dataset", "method", "name", "fewest", "most"), PUBLISHED)
def test_steps_are_the_published_ones(dataset, method, name, fewest, most):
    stages, counts = plan_of(dataset, method)
    (stage,) = (stage for stage in stages if stage.name == name)
    assert [stage.train.epochs * n for n in count_steps(stage, stages, counts)] == [fewest, most]


def test_images_of_the_complete_set():
    assert plan_of("isic2018", "ldt")[1] == ISIC
    assert plan_of("cityscapes", "ldt")[1] == (298, 2677)
    assert registry.published_image_counts(freeze(get_config("hela", "im").to_dict()).data) is None


@pytest.mark.parametrize("method", ["ldt", "aldt", "fdt", "im", "aim_pp", "consistency", "noisy_student"])
def test_with_equal_steps_every_net_trains_as_long(method):
    stages, counts = plan_of("isic2018", method, **{"train.budget": "equal"})
    trained = [stage for stage in stages if stage.name.startswith("train_")]
    steps = {stage.train.epochs * n for stage in trained for n in count_steps(stage, stages, counts)}
    assert steps == {25_900}


def test_the_plan_says_the_numbers():
    stages, counts = plan_of("isic2018", "aim_pp")
    text = describe(stages, counts)
    assert "10 U-Nets α=0.5, 50 epochs of 80 steps: 4 000 steps of 32 images" in text
    assert "50 epochs of 226 to 518 steps: 11 300 to 25 900 steps of 32 images" in text
    assert "⌊images/batch⌋ steps" in describe(stages)


def test_images_of_a_stage_for_the_time_left():
    stages, counts = plan_of("isic2018", "im_pp")
    by_name = {stage.name: stage for stage in stages}
    nets = by_name["train_g0"].num_nets
    # 4 050 to 18 600 steps of 32 images.
    assert count_images(by_name["train_g0"], stages, counts) == nets * 32 * (4_050 + 18_600) // 2
    assert count_images(by_name["label_g0"], stages, counts) == 0
