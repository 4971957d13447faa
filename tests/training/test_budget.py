"""How many steps a stage takes: the published rule, and a number that its sets share."""

import dataclasses

from configs import demo
from imjax.config.convert import freeze
from imjax.data.splits import ImageCounts
from imjax.training.budget import longest_training_set, steps_per_epoch

OPTIONS = freeze(demo.get_config().to_dict()).train


def test_published_rule_for_steps():
    rule = dataclasses.replace(OPTIONS, steps_per_epoch=0, batch_size=32)
    assert [steps_per_epoch(rule, [n]) for n in (3, 32, 100)] == [(1,), (1,), (3,)]
    # EvalNet: at least a third of the full set's steps; 960 / 3 / 32 = 10.
    assert steps_per_epoch(rule, [100], least_images=320) == (10,)
    # The consistency loss, the one with two phases, rounds up.
    assert steps_per_epoch(rule, [64, 640]) == (2, 20)
    assert steps_per_epoch(rule, [65, 639]) == (3, 20)


def test_a_fixed_number_of_steps_is_shared_out_by_size():
    rule = dataclasses.replace(OPTIONS, steps_per_epoch=20)
    assert steps_per_epoch(rule, [7]) == (20,)
    assert steps_per_epoch(rule, [10, 90]) == (2, 18)
    assert steps_per_epoch(rule, [1, 999]) == (1, 19)


def test_equal_steps_are_those_of_the_longest_training_method():
    # ISIC 2018: 259 labeled and 2 335 unlabeled images; AIM++ takes at most 25 900 steps in 50 epochs.
    longest = longest_training_set(ImageCounts(259, 2335))
    rule = dataclasses.replace(OPTIONS, steps_per_epoch=0, batch_size=32, budget="equal")
    assert longest == 2590 + 6 * 2335 and [50 * n for n in steps_per_epoch(rule, [259], 0, longest)] == [
        25_900
    ]
    assert sum(steps_per_epoch(rule, [259, 2335], 0, longest)) == 518
    # An explicit number is the same for every net already.
    explicit = dataclasses.replace(rule, steps_per_epoch=20)
    assert steps_per_epoch(explicit, [259], 0, longest) == (20,)
