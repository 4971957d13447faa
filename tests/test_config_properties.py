"""Any value of any key is taken or refused in one line that names the key."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import demo
from imjax.config.constraints import check
from imjax.config.convert import flatten, freeze
from imjax.config.schema import Config
from imjax.errors import UserError
from imjax.pipeline.plan import describe, make_plan

VALUES = demo.get_config("tiny").to_dict()
KEYS = sorted(flatten(VALUES))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.sampled_from([10**12, -(2**40)])
    | st.floats(width=32)
    | st.text(max_size=5)
    | st.sampled_from(["adamw", "plateau", "resize", "ldt", "aim_pp", "mean_teacher", "metassl", "drop"])
)
ANY = (
    SCALARS
    | st.lists(SCALARS, max_size=4)
    | st.tuples(SCALARS, SCALARS)
    | st.dictionaries(st.text(), SCALARS)
)


def with_key(key, value):
    values = copy.deepcopy(VALUES)
    *groups, last = key.split(".")
    at = values
    for group in groups:
        at = at[group]
    at[last] = value
    return values


@settings(derandomize=True, deadline=None, max_examples=400, database=None)
@given(st.sampled_from(KEYS), ANY)
def test_a_value_is_taken_or_refused_in_one_line(key, value):
    try:
        config = check(freeze(with_key(key, value)))
        # What is taken can be planned, and is what was given.
        if config.generations < 50:
            assert describe(make_plan(config))
        assert isinstance(config, Config)
        numbers = [v for v in flatten(dataclasses.asdict(config)).values() if isinstance(v, float)]
        assert np.isfinite(numbers).all()
    except UserError as error:
        assert "\n" not in str(error), str(error)


@settings(derandomize=True, deadline=None, max_examples=60, database=None)
@given(st.dictionaries(st.text(max_size=8) | st.sampled_from(KEYS), SCALARS, min_size=1, max_size=3))
def test_unknown_keys_are_refused_in_one_line(more):
    unknown = {key for key in more if key not in VALUES}
    try:
        freeze({**copy.deepcopy(VALUES), **more})
        assert not unknown
    except UserError as error:
        assert "config key" in str(error) and "\n" not in str(error)
