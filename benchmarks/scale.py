"""Large sets: memory and speed of streaming, speed of packing, and of the report over many runs.

  python -m benchmarks.scale --folder=/path/with/room

* memory: a set is streamed through grain as training does, each size in a process of its own; its peak.
* speed: the same network trains on a set in memory and on a streamed one, in alternating rounds.
* packing: `python -m imjax.prepare` on a folder of PNG images and masks.
* report: `python -m imjax.report` over copies of one tiny run with other seeds.

The largest set takes 65 KiB an image (200 000 images of 128²: 13 GB). All is written to a temporary folder in
`--folder`, which is removed at the end.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks import machine, timing, worker
from imjax import cli

FLAGS = flags.FLAGS
SIZE = 128
PARTS = ("memory", "speed", "packing", "report")
CHUNK = 1000
"""Images that are written at once."""
TINY_RUN = [
    "--config=configs/demo.py:tiny", "--config.method=ldt", "--config.baselines=()",
    "--config.train.epochs=1", "--config.train.steps_per_epoch=2",
]  # fmt: skip


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("folder", None, "Where the temporary folder is made; default: the system's.")
    flags.DEFINE_list("images", ["2000", "20000", "200000"], "Sizes of the sets.")
    flags.DEFINE_integer("packed", 2000, "Images to pack.")
    flags.DEFINE_integer("runs", 200, "Runs of the report.")
    flags.DEFINE_integer("rounds", 5, "Rounds of the comparison of speeds.")
    flags.DEFINE_list("parts", list(PARTS), f"What to measure, of {', '.join(PARTS)}.")


def main(_: list[str]) -> None:
    """Measure, print a line for each figure and a JSON line."""
    sizes = [int(size) for size in FLAGS.images]
    found: dict[str, Any] = {"machine": machine.facts()}
    with tempfile.TemporaryDirectory(prefix="imjax-scale-", dir=FLAGS.folder) as name:
        folder = Path(name)
        work: dict[str, Callable[[], Any]] = {
            "memory": lambda: [_in_process("stream_set", folder, size) for size in sizes],
            "speed": lambda: _in_process("compare_speeds", folder, max(sizes), FLAGS.rounds),
            "packing": lambda: measure_packing(folder, FLAGS.packed),
            "report": lambda: measure_report(folder, FLAGS.runs),
        }
        if {"memory", "speed"} & set(FLAGS.parts):
            write_set(folder, max(sizes))
        for part in FLAGS.parts:
            found[part] = work[part]()
            print(f"{part}: {json.dumps(found[part])}", flush=True)
    print(json.dumps(found))


def _in_process(function: str, *args: Any) -> dict[str, Any]:
    """Result of a function of this module in a process of its own, whose peak is its own too."""
    code = (
        f"import sys, json; from benchmarks import scale; print(json.dumps(scale.{function}(*sys.argv[1:])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=worker.ROOT, env=worker.environment({}), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def write_set(folder: Path, images: int) -> None:
    """Write a set of noise, as a packed one lies on the disk: `images.npy` and `labels.npy`."""
    draw = np.random.default_rng(0)
    shapes = {"images": (images, SIZE, SIZE, 3), "labels": (images, SIZE, SIZE)}
    for name, shape in shapes.items():
        with (folder / f"{name}.npy").open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, images, CHUNK):
                values = draw.integers(0, 2 if name == "labels" else 256, (CHUNK, *shape[1:]), np.uint8)
                file.write(values[: images - start].tobytes())


def open_set(folder: str, images: int) -> dict[str, np.ndarray]:
    """The first images of the set, as memory maps."""
    arrays = {name: np.load(f"{folder}/{name}s.npy", mmap_mode="r") for name in ("image", "label")}
    return {name: array[:images] for name, array in arrays.items()}


def stream_set(folder: str, images: str, batch: int = 32) -> dict[str, Any]:
    """Pass once over a set in training order, batches placed on the device; peak and speed."""
    import jax

    from imjax.training.data_loader import EnsembleLoader
    from imjax.training.ensemble_parallel import Members

    source = EnsembleLoader(open_set(folder, int(images)), Members(1), 0)
    order = source.shuffled(0, "scale", batch)
    # As many steps at least as fill all buffers.
    steps = max(source.count // batch, 200)
    for chunks in source.batches(order, range(20)):
        jax.block_until_ready(chunks)
    before, start = _peak_mib(), time.perf_counter()
    for chunks in source.batches(order, range(steps)):
        jax.block_until_ready(chunks)
    seconds = time.perf_counter() - start
    return {
        "images": source.count,
        "set_mib": sum(array.nbytes for array in open_set(folder, int(images)).values()) >> 20,
        "first_mib": before,
        "peak_mib": _peak_mib(),
        "images_per_second": round(steps * batch / seconds),
    }


def _peak_mib() -> int:
    """The most memory that this process has had, pages of files that it has mapped included."""
    return _convert_peak(resource.getrusage(resource.RUSAGE_SELF))


def _convert_peak(usage: resource.struct_rusage) -> int:
    """MiB of what a process has used; the system counts in bytes on macOS and in KiB elsewhere."""
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit >> 20


def compare_speeds(folder: str, images: str, rounds: str, batch: int = 16, steps: int = 24) -> dict[str, Any]:
    """Train a network on a small set in memory and on the large one from its file, in turns.

    The ratio by processor time also holds on a machine that others use.
    """
    import jax
    import optax

    from benchmarks import data
    from imjax.models.unet import UNet
    from imjax.training import step
    from imjax.training.data_loader import EnsembleLoader
    from imjax.training.ensemble_parallel import Members
    from imjax.training.objective import segmentation_objective

    members, tx = Members(1), optax.adam(1e-3)
    objective = segmentation_objective(UNet(data.OUTPUTS, 0.5), data.spec(), (SIZE, SIZE))
    drawn = step.init(objective, tx, np.inf, jax.random.key(0))
    state = members.shard(jax.tree.map(lambda leaf: np.asarray(leaf)[None], drawn))
    keys = members.shard(jax.random.key(1)[None])
    take = members.map(lambda s, b, k: step.train_step(objective.losses["loss"], tx, s, b, k), donate=(0,))
    resident = {name: np.array(array) for name, array in open_set(folder, 1000).items()}
    loaders = {
        "in memory": EnsembleLoader(resident, members, 1 << 20),
        "streamed": EnsembleLoader(open_set(folder, int(images)), members, 0),
    }
    orders = {name: loader.shuffled(0, "scale", batch) for name, loader in loaders.items()}
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    work: dict[str, list[float]] = {name: [] for name in loaders}
    for turn in range(int(rounds) + 1):
        for name in list(loaders)[:: 1 if turn % 2 else -1]:
            start, busy = time.perf_counter(), time.process_time()
            for batches in loaders[name].batches(orders[name], range(turn * steps, (turn + 1) * steps)):
                state = take(state, batches, keys)
            jax.block_until_ready(state)
            rates[name].append(steps * batch / (time.perf_counter() - start))
            work[name].append(steps * batch / (time.process_time() - busy))
    # The first round compiles.
    found = {name: timing.spread(values[1:])._asdict() for name, values in rates.items()}
    for key, values in (("ratio", rates), ("ratio_by_processor_time", work)):
        pairs = zip(values["streamed"][1:], values["in memory"][1:], strict=True)
        found[key] = timing.spread([a / b for a, b in pairs])._asdict()
    return found | {"peak_mib": _peak_mib()}


def measure_packing(folder: Path, images: int) -> dict[str, Any]:
    """Images per second of `imjax.prepare` on a folder of PNG files."""
    from PIL import Image

    from benchmarks import data

    for name in ("images", "masks"):
        (folder / "raw" / name).mkdir(parents=True)
    draw = np.random.default_rng(0)
    photos, labels = data.scenes(32, SIZE)
    for i in range(images):
        # No two files alike: copies would be found.
        photo = photos[i % 32] ^ draw.integers(0, 8, photos[0].shape, np.uint8)
        Image.fromarray(photo).save(folder / "raw/images" / f"{i:06}.png")
        mask = (labels[i % 32] > 1).astype(np.uint8) * 255
        Image.fromarray(mask).save(folder / "raw/masks" / f"{i:06}.png")
    command = [
        "imjax.prepare", "--dataset=folder", f"--raw={folder / 'raw'}", f"--out={folder / 'packs'}",
        f"--size={SIZE},{SIZE}",
    ]  # fmt: skip
    seconds, peak = _time_command(command)
    (manifest,) = (folder / "packs").glob("*/manifest.json")
    return {
        "images": images,
        "seconds": round(seconds, 1),
        "images_per_second": round(images / seconds),
        "peak_mib": peak,
        "manifest_bytes_per_image": manifest.stat().st_size // images,
    }


def measure_report(folder: Path, runs: int) -> dict[str, Any]:
    """Seconds of the report over copies of one tiny run that differ in seed."""
    first = folder / "runs" / "seed=0"
    _time_command(["imjax.main", *TINY_RUN, f"--workdir={first}"])
    shutil.rmtree(first / "checkpoints", ignore_errors=True)
    for seed in range(1, runs):
        copy_run(first, folder / "runs" / f"seed={seed}", seed)
    command = ["imjax.report", *map(str, sorted((folder / "runs").iterdir()))]
    seconds, peak = _time_command([*command, f"--out={folder / 'report.html'}"])
    page = (folder / "report.html").stat().st_size >> 10
    return {"runs": runs, "seconds": round(seconds, 1), "page_kib": page, "peak_mib": peak}


def copy_run(source: Path, target: Path, seed: int) -> None:
    """Copy a run's folder as that of another seed, with scores a little different."""
    shutil.copytree(source, target)
    record = json.loads((target / "config.json").read_text())
    record["config"]["seed"] = seed
    (target / "config.json").write_text(json.dumps(record))
    with (source / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["seed"] = str(seed)
        row["value"] = f"{float(row['value']) * (1 + seed % 7 / 100):.6f}"
    with (target / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def _time_command(words: Sequence[str]) -> tuple[float, int]:
    """Seconds of `python -m WORDS`, and the peak of the process in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *words], cwd=worker.ROOT, env=worker.environment({}), stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words[:1])} ended with status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start, _convert_peak(usage)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
