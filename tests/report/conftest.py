"""Runs' folders for every test of the report."""

from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import build


@pytest.fixture
def make_run() -> Callable[..., Path]:
    return build
