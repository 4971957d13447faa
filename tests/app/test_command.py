"""`imjax app`: its arguments, its address, and what it says where something is missing."""

import socket
import sys

import pytest
from app_folders import halves, make_folder
from user_errors import raises_user_error

from imjax.app import __main__ as command
from imjax.errors import ErrorCode


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_one_folder_is_asked_for(arguments):
    with raises_user_error(ErrorCode.MALFORMED if arguments else ErrorCode.MISSING, "DIR"):
        command.main(arguments)


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with raises_user_error(ErrorCode.UNAVAILABLE, "imjax app") as info:
        command.serve(tmp_path, tmp_path, "127.0.0.1", 0)
    assert 'pip install "imjax[app]"' in str(info.value)


def test_ports_and_addresses():
    with socket.socket() as taken:
        taken.bind((command.LOOPBACK, 0))
        taken.listen()
        with raises_user_error(ErrorCode.UNAVAILABLE, "--port"):
            command.bind(command.LOOPBACK, taken.getsockname()[1])
    with raises_user_error(ErrorCode.UNAVAILABLE, "--port"):
        command.bind("203.0.113.7", 0)
    free = command.bind(command.LOOPBACK, None)
    assert free.getsockname()[0] == "127.0.0.1" and free.getsockname()[1]
    free.close()


@pytest.mark.parametrize(
    ("host", "has_token"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)]
)
def test_an_address_for_others_has_a_token(tmp_path, monkeypatch, capsys, host, has_token):
    uvicorn = pytest.importorskip("uvicorn", reason="the extra imjax[app]")
    raw, served = make_folder(tmp_path / "own", {"a.png": halves(0, 255)}), []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: served.extend(sockets))
    command.serve(raw, raw / "runs", host, 0)
    out = capsys.readouterr().out
    assert ("?token=" in out) == has_token and f"runs go to {raw / 'runs'}" in out
    assert served[0].getsockname()[0] == ("0.0.0.0" if has_token else "127.0.0.1")
    served[0].close()
