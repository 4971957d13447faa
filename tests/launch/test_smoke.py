"""Whole tiny runs of a part of all configurations, another part every day."""

import csv
import datetime
import subprocess
import sys
from pathlib import Path

import pytest
from user_errors import raises_user_error

from imjax.errors import ErrorCode
from launch.smoke import CONFIGS, select_part

ROOT = Path(__file__).parents[2]
PARTS = 100
TODAY = f"{datetime.date.today().toordinal() % PARTS + 1}/{PARTS}"


def test_parts_are_everything_once():
    paths = sorted(CONFIGS.glob("*.py"))
    found = [path for k in range(1, PARTS + 1) for path in select_part(paths, f"{k}/{PARTS}")]
    assert sorted(found) == paths and len(set(found)) == len(found)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b"])
def test_a_part_is_k_of_n(text):
    with raises_user_error(ErrorCode.MALFORMED, "--part"):
        select_part([], text)


@pytest.mark.parametrize("today", [TODAY])
def test_todays_part_learns_something(today, command_environment, tmp_path):
    command = [sys.executable, "-m", "launch.smoke", f"--root={tmp_path}", f"--part={today}"]
    done = subprocess.run(command, cwd=ROOT, env=command_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    # The same again: nothing is left to run.
    again = subprocess.run(command, cwd=ROOT, env=command_environment, capture_output=True, text=True)
    count = len(select_part(sorted(CONFIGS.glob("*.py")), today))
    assert again.returncode == 0 and again.stdout.count("finished before") == count
    for path in tmp_path.glob("*/results.csv"):
        with path.open(newline="") as file:
            assert len(list(csv.DictReader(file))) > 0
