"""What a person sees of a sweep: lines, and the table on a terminal."""

import io

from launch import progress_table, run_status
from launch.grid import make_points


class Terminal(io.StringIO):
    def isatty(self):
        return True


def three(root):
    return make_points(["configs/demo.py:tiny"], ["seed:0,1,2"], [], root)


def test_a_line_per_change_where_there_is_no_terminal(tmp_path):
    points, stream = three(tmp_path), io.StringIO()
    shown = progress_table.StatusTable(points, stream)
    shown.set_state(points[1], "running", "see there")
    shown.draw()
    shown.set_state(points[1], "FAILED", "with exit code 2")
    assert stream.getvalue().splitlines() == [
        "2/3 demo-tiny-seed=1: running see there",
        "2/3 demo-tiny-seed=1: FAILED with exit code 2 after 0 s",
    ]


def test_the_table_is_drawn_over_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    points, stream = three(tmp_path), Terminal()
    points[0].workdir.mkdir()
    run_status.log_path(points[0]).write_text(
        "12 stage 2/9 train_ldt: 80 steps\n15 stage 2/9 train_ldt: step 24/80, epoch 1\n"
    )
    shown = progress_table.StatusTable(points, stream)
    shown.set_state(points[0], "running")
    shown.draw()
    first = stream.getvalue()
    assert [line.split() for line in first.splitlines()] == [
        ["run", "state", "time", "at"],
        ["demo-tiny-seed=0", "running", "0:00:00", "2/9", "train_ldt", "step", "24/80"],
        ["demo-tiny-seed=1", "waiting"],
        ["demo-tiny-seed=2", "waiting"],
    ]
    shown.draw()
    # Four lines up, and everything below erased.
    assert stream.getvalue().removeprefix(first).startswith("\x1b[4F\x1b[J")


def test_a_table_that_is_too_long_counts_what_it_leaves_out(tmp_path):
    points = make_points(["configs/demo.py:tiny"], ["seed:0,1,2,3,4,5"], [], tmp_path)
    shown = progress_table.StatusTable(points, Terminal())
    for point, state in zip(points, ["finished", "finished", "FAILED", "running", "waiting"], strict=False):
        shown.set_state(point, state)
    lines = progress_table.format_lines(list(shown._rows.values()), 4)
    assert [line.split()[0] for line in lines[1:-1]] == ["demo-tiny-seed=2", "demo-tiny-seed=3"]
    assert lines[-1] == "and 2 finished, 2 waiting" and len(lines) == 4


def test_position_is_the_last_that_the_log_names(tmp_path):
    point = three(tmp_path)[0]
    assert run_status.read_position(point) == ""
    point.workdir.mkdir()
    run_status.log_path(point).write_text(
        "00 stage 1/3 a: done before\n01 stage 2/3 im_g0 generation 0: 80 steps\n"
    )
    assert run_status.read_position(point) == "2/3 im_g0"
