"""Contestants in processes of their own, told by pipe when to run and idle between.

In one process thread pools of three frameworks would share the cores, and XLA's settings could not differ.
`Worker` is the side of the benchmark; `python -m benchmarks.worker` is the other: a line of JSON in, one out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import Absent, Failed, Turn

ROOT = Path(__file__).parents[1]
INSTALL = "not installed (pip install -r benchmarks/requirements.txt)"
OURS = "ours"
"""Argument of a worker that runs imjax: it starts as imjax's commands start."""


@dataclasses.dataclass
class Worker:
    """A contestant: an object that a function makes in a process of its own.

    The object has `run(repeats)`, which returns the images done, and `facts`, a dict for the table.
    """

    name: str
    make: str
    """`module:function`."""
    args: dict[str, Any]
    """Keyword arguments of that function; JSON."""
    ours: bool = False
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 1.0
    """Least length of a turn; 0: one run."""
    limit: float | None = None
    """Seconds after which a request is given up, and the process with it."""

    def __post_init__(self) -> None:
        self.facts: dict[str, Any] = {}
        """As the last reply had them."""
        self._process: subprocess.Popen | None = None
        self._repeats = 1

    def start(self) -> dict[str, Any]:
        """See `timing.Entrant`."""
        self.open()
        self.again(self.make, self.args)
        self._repeats = self.calibrated()
        return self.facts

    def open(self) -> None:
        """Start the process."""
        # Its words go to a file: what is said when it dies is the reason.
        self._words = tempfile.TemporaryFile(mode="w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", *([OURS] if self.ours else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, text=True, cwd=ROOT,
            env=environment(self.environment),
        )  # fmt: skip

    def again(self, make: str, args: dict[str, Any]) -> dict[str, Any]:
        """Have the process make another object, in the place of the one before; its facts."""
        self._ask({"make": make, "args": args})
        return self.facts

    def turn(self) -> Turn:
        """See `timing.Entrant`."""
        return self.run(self._repeats)

    def run(self, repeats: int) -> Turn:
        """Run the object so many times."""
        reply = self._ask({"repeats": repeats})
        return Turn(reply["seconds"], reply["images"])

    def stop(self) -> None:
        """See `timing.Entrant`."""
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
            self._words.close()
            self._process = None

    def calibrated(self) -> int:
        """Repeats that fill a turn; the first run compiles and does not count."""
        self.run(1)
        if not self.seconds:
            return 1
        once = self.run(1).seconds
        return max(1, round(self.seconds / max(once, 1e-9)))

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        # Without a limit the timer is never started.
        timer = threading.Timer(self.limit or 0, self._process.kill)
        if self.limit is not None:
            timer.start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            raise Failed(f"its process ended: {self._last_words()}")
        reply = json.loads(line)
        if "absent" in reply:
            raise Absent(INSTALL)
        if "error" in reply:
            raise Failed(reply["error"])
        self.facts = reply["facts"]
        return reply

    def _last_words(self) -> str:
        self._words.seek(0)
        lines = self._words.read().strip().splitlines()
        return lines[-1][:200] if lines else f"code {self._process.wait()}"


def environment(more: dict[str, str]) -> dict[str, str]:
    """Of a contestant: this process's, without settings of XLA and malloc that were meant for this one."""
    kept = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "GLIBC_TUNABLES")}
    return kept | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"} | more


PEERS = ("torch", "keras", "tensorflow")


def answer(request: dict[str, Any], contestant: Any) -> tuple[dict[str, Any], Any]:
    """Reply to a request, and the contestant from then on."""
    if "make" in request:
        module, function = request["make"].split(":")
        contestant = getattr(importlib.import_module(module), function)(**request["args"])
        return {"facts": contestant.facts}, contestant
    start = time.perf_counter()
    images = contestant.run(request["repeats"])
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "images": images, "facts": contestant.facts}, contestant


def serve() -> None:
    """Answer requests until the pipe is closed."""
    # What libraries print must not come between the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    contestant = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            # So that the memory of the one before is free.
            contestant = None if "make" in request else contestant
            reply, contestant = answer(request, contestant)
        except ModuleNotFoundError as error:
            missing = (error.name or "").split(".")[0]
            reply = {"absent": missing} if missing in PEERS else {"error": f"no module {error.name}"}
        except Exception as error:
            text = (str(error).strip() or repr(error)).splitlines()[0]
            reply = {"error": f"{type(error).__name__}: {text}"[:300]}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    if OURS in sys.argv[1:]:
        from imjax.training.devices import keep_memory

        keep_memory()
    serve()
