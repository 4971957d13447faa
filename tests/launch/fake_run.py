"""Stands in for `imjax.main` in tests of executors: `fake_run.py FOLDER NAME CONFIG_JSON HOW`.

HOW is `fine`, `fail`, `stopped` (exits 0 as a run does that saved itself), `slow` (waits for SIGTERM before
that, and finishes when it is started again) or `last` (finishes after two others). FOLDER/events gets a line
for each start and end.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from imjax import processes  # noqa: E402


def main(folder, name, config, how):
    processes.follow_parent()
    folder = Path(folder)
    workdir = folder / name
    events = folder / "events"
    with events.open("a") as file:
        file.write(f"start {name} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
    started_before = (workdir / "config.json").exists()
    (workdir / "config.json").write_text(json.dumps({"config": json.loads(config)}))
    print("12:00:00 stage 1/2 train_ldt: step 3/8, epoch 0", flush=True)
    if how == "fail":
        print("imjax: the line that says what is wrong", file=sys.stderr)
        sys.exit(2)
    if how == "stopped":
        sys.exit(0)
    while how == "last" and events.read_text().count("end ") < 2:
        time.sleep(0.01)
    if how == "slow" and not started_before:
        stop = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
        (workdir / "waiting").touch()
        while not stop and not (workdir / "end").exists():
            time.sleep(0.01)
        (workdir / "saved").touch()
        sys.exit(0)
    (workdir / "report.html").touch()
    with events.open("a") as file:
        file.write(f"end {name}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
