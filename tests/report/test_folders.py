"""How the runs of a page are named on the command line."""

from __future__ import annotations

from user_errors import raises_user_error

from imjax import cli
from imjax.errors import ErrorCode
from imjax.report.__main__ import expand_workdirs


def test_folders(tmp_path, make_run, monkeypatch):
    for name in ("a", "b", "c,d"):
        make_run(tmp_path / name, {("ldt", None): [0.6]}, method="ldt")
    (tmp_path / "cache").mkdir()
    (tmp_path / "log.txt").write_text("")
    monkeypatch.chdir(tmp_path)

    def names(*values):
        return [str(folder) for folder in expand_workdirs(values)]

    assert names("a,b", "c,d", "a", str(tmp_path / "b")) == ["a", "b", "c,d"]
    assert names("b", "*") == ["b", "a", "c,d"]
    assert names("[ab]") == ["a", "b"]
    assert names("none") == ["none"]
    with raises_user_error(ErrorCode.MISSING, "--workdir"):
        expand_workdirs(["x*"])


def test_arguments_that_are_no_flags_are_for_those_who_take_them(capsys):
    taken = []
    assert cli.guarded(taken.extend, ["runs/a"], positional=True) == 0 and taken == ["runs/a"]
    assert cli.guarded(taken.extend, ["runs/b"]) == 2 and taken == ["runs/a"]
    assert "unexpected argument 'runs/b'" in capsys.readouterr().err
