"""Bars and log lines on a terminal, and what is left of them without one."""

import io
import logging
import sys

import numpy as np
import pytest

from imjax import log
from imjax.training.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Called in a test: pytest puts its own stderr in place between a fixture and the test."""

    def start():
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "150")
        monkeypatch.setattr(sys, "stderr", screen := Terminal())
        log.console.cache_clear()
        return screen

    yield start
    log.console.cache_clear()


def write(text):
    log._AboveBars().emit(logging.LogRecord("imjax", logging.INFO, "", 0, text, (), None))


def test_a_bar_on_a_terminal_and_lines_above_it(terminal):
    screen = terminal()
    path = "/a" * 60 + "/[bold]x[/bold]:smile:"
    items = []
    for item in log.track(range(3), "reading"):
        items.append(item)
        write(path)
    assert items == [0, 1, 2]
    assert "reading" in screen.getvalue() and "3/3" in screen.getvalue()
    # Longer than a line of the terminal, and with brackets: it is written as it is.
    assert screen.getvalue().count(path) == 3


def test_without_a_terminal_there_are_lines_alone(capsys):
    assert list(log.track([1, 2], "reading")) == [1, 2]
    log.console.cache_clear()
    write("a line")
    assert capsys.readouterr().err == "a line\n"


def test_a_stage_s_bar_names_the_compilation_and_goes_on_from_the_first_step(terminal):
    screen = terminal()
    progress = Progress("stage 1/2 train_ldt", 5, 20, 8)
    progress._bars.refresh()
    assert "compiling" in screen.getvalue() and "5/20" in screen.getvalue()
    progress.set_loss(np.array([0.5, 1.5]))
    progress.update(6, 1)
    progress._bars.refresh()
    progress.close()
    assert "6/20" in screen.getvalue() and "loss 1.0000 after epoch 1" in screen.getvalue()


def test_the_time_left_is_said_once_the_speed_is_known_and_without_the_compilation(said):
    now = [0.0]
    # 4 images a step; later stages have as many images as 300 steps of this one.
    progress = Progress("stage 1/2 train_ldt", 0, 100, 4, later_images=1200, clock=lambda: now[0])
    for step, seconds in enumerate([60, 62, *range(80, 101)], 1):
        now[0] = seconds
        progress.update(step, 0)
    assert said[:2] == [
        "stage 1/2 train_ldt: compiling the first step, which can take minutes",
        "stage 1/2 train_ldt: first step compiled in 60 s",
    ]
    # Two steps in 20 s after the first: 97 and 397 steps more.
    assert said[3] == (
        "stage 1/2 train_ldt: step 3/100, 0.4 images/s, 16 min left, about 1 h 06 min in the whole run"
    )
    assert said[2] == "stage 1/2 train_ldt: step 1/100"
    assert progress.metadata()["images_per_second"] == round(23 * 4 / 100, 1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (59.6, "60 s"), (100.0, "2 min"), (3599.0, "1 h 00 min")]
)
def test_times_for_people(seconds, text):
    assert log.format_time(seconds) == text
