"""A page in the browser for your own images: paint and correct masks, train on them, compare runs.

  imjax app my_data

DIR has `images/`; masks go to `masks/`, and runs to DIR/runs or where --runs says. The page can be reached
from this machine alone, unless --host says otherwise: then the address that is printed has a token, without
which nothing is shown. Needs the extra: pip install "imjax[app]".
"""

from __future__ import annotations

import socket
from pathlib import Path

from absl import flags

from imjax import cli, log
from imjax.errors import ErrorCode, UserError
from imjax.user_paths import expand_path

FLAGS = flags.FLAGS
LOOPBACK, PORT = "127.0.0.1", 8765


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    text = f"Port of the page. Default: {PORT}, or a free one where that is taken."
    flags.DEFINE_integer("port", None, text, lower_bound=0, upper_bound=65535)
    text = "Address that is bound; another than loopback can be reached from elsewhere, by a token."
    flags.DEFINE_string("host", LOOPBACK, text)
    flags.DEFINE_string("runs", None, "Folder of the runs; default: runs in the folder of the images.")


def main(arguments: list[str]) -> None:
    """Serve the page until Ctrl-C; UserError for what the caller can fix."""
    log.show()
    if len(arguments) != 1:
        raise UserError(
            f"imjax app: {len(arguments)} folders, expected one with images and masks: imjax app DIR",
            code=ErrorCode.MISSING if not arguments else ErrorCode.MALFORMED,
            field="DIR",
        )
    raw = expand_path(arguments[0], "DIR").resolve()
    runs = raw / "runs" if FLAGS.runs is None else expand_path(FLAGS.runs, "--runs").resolve()
    serve(raw, runs, FLAGS.host, FLAGS.port)


def serve(raw: Path, runs: Path, host: str, port: int | None) -> None:
    """Serve the page of a folder; raises as `main`."""
    try:
        import uvicorn

        from imjax.app import access, server
    except ImportError as error:
        raise UserError(
            f'imjax app needs {error.name}; install it with: pip install "imjax[app]"',
            code=ErrorCode.UNAVAILABLE,
            field="imjax app",
        ) from error
    from imjax.app.folder_store import FolderStore
    from imjax.app.jobs import Jobs

    store = FolderStore(raw)
    bound = bind(host, port)
    number = bound.getsockname()[1]
    token = "" if access.is_loopback(host) else access.make_token()
    app = server.make_app(store, Jobs(store, runs), host, number, token)
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    print(f"{len(store.names)} images; runs go to {runs}")
    print(f"open http://{shown}:{number}/{f'?token={token}' if token else ''} (Ctrl-C ends it)", flush=True)
    if token:
        print(
            "whoever has this address can read and change the masks; what is sent is not encrypted",
            flush=True,
        )
    config = uvicorn.Config(app, log_config=None, log_level="warning", server_header=False, access_log=False)
    uvicorn.Server(config).run(sockets=[bound])


def bind(host: str, port: int | None) -> socket.socket:
    """A socket that listens; without a port at the usual one or, where that is taken, at any.

    Raises:
        UserError: the address is none of this machine, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in [PORT, 0] if port is None else [port]:
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host.strip("[]"), number))
            return listening
        except OSError as error:
            listening.close()
            reason = error
    raise UserError(
        f"--host={host} --port={port or PORT}: cannot be bound ({reason.strerror}); name another port, or an "
        "address of this machine",
        code=ErrorCode.UNAVAILABLE,
        field="--port",
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=True)
