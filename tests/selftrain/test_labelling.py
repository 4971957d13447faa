"""What a labelling is said to be like, and when a person is warned."""

import logging

import numpy as np
import pytest

from imjax.data.spec import DatasetSpec
from imjax.selftrain import labelling
from imjax.selftrain.plan import make_plan
from imjax.selftrain.stages import LabelStage

BINARY = DatasetSpec("b", "b", "binary", ("x",), ((1, 1, 1),))
MANY = DatasetSpec("m", "m", "multiclass", ("a", "b"), ((0, 0, 0),) * 2)
LABELS = DatasetSpec("l", "l", "multilabel", ("p", "q"), ((0, 0, 0),) * 2)


@pytest.mark.parametrize(
    ("spec", "values", "wanted"),
    [
        (BINARY, [0, 0, 0, 1], False),
        (BINARY, [0, 0, 0, 0], True),
        # Where it is not void (inconsistent) there is foreground only.
        (BINARY, [1, 255, 1, 255], True),
        (MANY, [1, 1, 1, 255], True),
        (MANY, [0, 1, 1, 255], False),
        # Nothing was kept at all.
        (BINARY, [], True),
    ],
)
def test_collapse_is_one_class(spec, values, wanted):
    assert labelling.collapsed(spec, np.array(values, np.uint8).reshape(1, -1, 1)) == wanted


def test_one_channel_is_enough_to_collapse():
    labels = np.zeros((1, 2, 2, 2), np.uint8)
    labels[0, 0, 0, 0] = 1
    assert labelling.collapsed(LABELS, labels)
    labels[0, 0, 0, 1] = 1
    assert not labelling.collapsed(LABELS, labels)


def test_foreground_leaves_void_out():
    # One of the three pixels that count.
    assert labelling.foreground(np.array([0, 0, 1, 255], np.uint8)) == pytest.approx(1 / 3)
    assert labelling.foreground(np.array([255], np.uint8)) == 0


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"kept_share": 0.0, "collapsed": 1.0}, "no pair was kept"),
        ({"kept_share": 0.5, "collapsed": 1.0}, "collapsed to one class"),
        ({"kept_share": 0.5, "collapsed": 0.0}, ""),
    ],
)
def test_warnings(facts, message, demo_config, caplog):
    stage = next(stage for stage in make_plan(demo_config) if isinstance(stage, LabelStage))
    with caplog.at_level(logging.WARNING, "imjax"):
        labelling._warn(stage, facts)
    assert (message in caplog.text) if message else not caplog.text
