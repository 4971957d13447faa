"""What suggested masks are worth: train, mask five images, train on, beside five images drawn at random.

  python -m benchmarks.label_loop --data=data/dsb2018 --root=runs/label_loop --seeds=0,1,2

Nuclei of DSB 2018 as your own folder: 60 images of which 12 have masks, and 60 others with truth that
nets never see (test). After each of three rounds five images get their true masks, as if a person had
corrected them: those that `imjax suggest` names, or random ones; the next round starts from the nets of the
last. Prints Dice on test by round, and writes it to ROOT/label_loop.json. The same command goes on where it
was stopped.
"""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from absl import flags

from benchmarks import table
from imjax import cli
from imjax.data.readers import dsb2018
from imjax.data.readers.base import Sample
from imjax.errors import TrainingError

FLAGS = flags.FLAGS

POOL, MASKED, VAL, TEST = 60, 12, 3, 60
"""Images of the folder, those with a mask at first, those of them that are val, and further ones for test."""
ARMS = ("suggested", "random")
ADDED = 5
"""Masks of a round."""


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("data", "data/dsb2018", "Folder of DSB 2018, with stage1_train.")
    flags.DEFINE_string("root", "runs/label_loop", "Folder of folders and runs.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of the images, the masks and the training.")
    flags.DEFINE_integer("rounds", 3, "Rounds of masking and training on.")
    flags.DEFINE_integer("steps", 200, "Optimizer steps of each training, a multiple of 25.")
    flags.DEFINE_integer("size", 64, "Height and width of the images, a multiple of 16.")
    flags.DEFINE_integer("nets", 3, "Nets of each training.")


def main(_: list[str]) -> None:
    """Train what is not trained; print the curves."""
    root, found = Path(FLAGS.root), []
    samples = dsb2018.Dsb2018().scan(Path(FLAGS.data))["train_val_test"]
    for seed in map(int, FLAGS.seeds):
        for arm in ARMS:
            found += run_arm(root / f"seed={seed}", arm, seed, samples, FLAGS.rounds)
            (root / "label_loop.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print("\n".join(render(found)))


def run_arm(root: Path, arm: str, seed: int, samples: Sequence[Sample], rounds: int) -> list[dict[str, Any]]:
    """Dice after each round of one way to choose, from 0, before which nothing is chosen."""
    folder = root / arm / "folder"
    truths = write_folder(folder, samples, seed)
    # Both ways start from the same nets.
    earlier = root / "round=0"
    if not (earlier / "results.csv").is_file():
        train(folder, earlier, seed)
    found = [{"seed": seed, "arm": arm, "round": 0, "masks": MASKED, "dice": read_dice(earlier)}]
    for number in range(1, rounds + 1):
        workdir = root / arm / f"round={number}"
        names = choose_once(root / arm / f"chosen_{number}.json", arm, earlier, folder, seed)
        for name in names:
            write_truth(folder, truths[name])
        if not (workdir / "results.csv").is_file():
            train(folder, workdir, seed, earlier)
        masks = MASKED + ADDED * number
        found.append({"seed": seed, "arm": arm, "round": number, "masks": masks, "dice": read_dice(workdir)})
        earlier = workdir
    return found


def write_folder(folder: Path, samples: Sequence[Sample], seed: int) -> dict[str, Sample]:
    """Write the folder as it is at first, or leave it as it is; returns the samples of the pool by name."""
    drawn = np.random.default_rng([seed, 0]).permutation(len(samples))[: POOL + TEST]
    pool, test = ([samples[i] for i in part] for part in (drawn[:POOL], drawn[POOL:]))
    if not (folder / "splits.csv").is_file():
        for sample in (*pool, *test):
            image, _ = dsb2018.Dsb2018().load(sample)
            _write(folder / "images" / f"{sample.name}.png", image[..., ::-1])
        for sample in (*pool[:MASKED], *test):
            write_truth(folder, sample)
        # What is not listed is labeled once it has a mask.
        rows = [(s.name, "val") for s in pool[:VAL]] + [(s.name, "test") for s in test]
        lines = ["image,split", *(f"{name}.png,{split}" for name, split in rows)]
        (folder / "splits.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {sample.name: sample for sample in pool}


def write_truth(folder: Path, sample: Sample) -> None:
    """Write the true mask of a sample; one that is there stays."""
    path = folder / "masks" / f"{sample.name}.png"
    if not path.is_file():
        _write(path, 255 * dsb2018.Dsb2018().load(sample)[1])


def choose_once(path: Path, arm: str, earlier: Path, folder: Path, seed: int) -> list[str]:
    """Names of the images to mask, as they were chosen before if they were."""
    if not path.is_file():
        names = choose(arm, earlier, folder, seed)
        path.write_text(json.dumps(names), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def choose(arm: str, earlier: Path, folder: Path, seed: int) -> list[str]:
    """Images without a mask: those that the nets of the last round name, or random ones."""
    if arm == "suggested":
        import imjax

        return [one.image.stem for one in imjax.suggest(earlier, folder, ADDED)]
    masked = {path.stem for path in (folder / "masks").iterdir()}
    left = sorted({path.stem for path in (folder / "images").iterdir()} - masked)
    draw = np.random.default_rng([seed, 1, len(masked)])
    return [left[i] for i in draw.permutation(len(left))[:ADDED]]


def train(folder: Path, workdir: Path, seed: int, earlier: Path | None = None) -> None:
    """One training; TrainingError where it fails."""
    command = [
        sys.executable, "-m", "imjax.main", "--config=folder:small", f"--config.data.dir={folder}",
        f"--workdir={workdir}", f"--config.seed={seed}", f"--config.data.height={FLAGS.size}",
        f"--config.data.width={FLAGS.size}", f"--config.num_baseline_nets={FLAGS.nets}",
        f"--config.report_top_k={FLAGS.nets}", f"--config.train.epochs={FLAGS.steps // 25}",
        "--config.train.steps_per_epoch=25", *([] if earlier is None else [f"--from={earlier}"]),
    ]  # fmt: skip
    table.say(f"training {workdir}")
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise TrainingError(f"{workdir}: {done.stderr[-2000:]}")


def read_dice(workdir: Path) -> float:
    """Mean over the nets of the mean Dice of the test images."""
    with (workdir / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test" and row["metric"] == "dice"]
    nets = [row for row in rows if row["method"] == "ldt" and not row["class"]]
    return statistics.fmean(float(row["value"]) for row in nets)


def render(found: Sequence[dict[str, Any]]) -> list[str]:
    """Dice by round as lines of Markdown, mean over seeds, and in how many of them suggestions are ahead."""
    rounds = sorted({one["round"] for one in found})
    seeds = sorted({one["seed"] for one in found})
    dice = {(one["arm"], one["round"], one["seed"]): one["dice"] for one in found}
    head = [f"{MASKED + ADDED * number} masks" for number in rounds]
    lines = [table.format_row(["five masks a round", *head]), f"|{' --- |' * (len(rounds) + 1)}"]
    for arm in ARMS:
        cells = [table.format_mean([dice[arm, number, seed] for seed in seeds]) for number in rounds]
        lines.append(table.format_row([arm, *cells]))
    ahead = [
        sum(dice["suggested", number, seed] > dice["random", number, seed] for seed in seeds)
        for number in rounds[1:]
    ]
    return [*lines, "", f"suggested ahead after each round: {ahead} of {len(seeds)} seeds"]


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(pixels))


if __name__ == "__main__":
    define_flags()
    cli.run(main)
