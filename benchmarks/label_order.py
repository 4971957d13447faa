"""Which score tells how good a predicted mask is: rank correlation with the true IoU, on held-out truth.

  python -m benchmarks.label_order --data=data --root=runs/label_order --seeds=0,1

Three nets for each of three sets, pretrained and trained briefly on few masks, predict the test images; a
score is good if the images with the lowest are those with the lowest true IoU (Spearman's ρ, the larger the
better). `imjax suggest` orders by the best. `--data` has a folder per dataset. The same command goes on where
it was stopped: finished runs and their figures stay. docs/how-to/label_loop.md has the table.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from scipy import stats

from benchmarks import table
from imjax import cli
from imjax.config.schema import Config, Mask
from imjax.data import pack
from imjax.data.spec import VOID
from imjax.errors import TrainingError
from imjax.inference import image_scores
from imjax.inference.load_run import load_model
from imjax.inference.net_functions import Labeling
from imjax.inference.prediction import inconsistency_mask
from imjax.inference.trained_model import TrainedModel
from imjax.ops.ensemble import probabilities_to_label
from imjax.pipeline import training_sets
from imjax.pipeline.evalnet_stage import make_evalnet_scorer
from launch import run_status
from launch.executors import local
from launch.grid import SweepRun, make_points

FLAGS = flags.FLAGS

CONFIG = "folder_im_pp:small"
"""Without generations: LDT's nets and EvalNets."""
NETS, STEPS, BATCH = 3, 200, 8
EVALNET = (
    "evalnet.num_nets=2", "evalnet.pairs.epochs=4", "evalnet.pairs.val_epochs=1", "evalnet.train.epochs=6",
    "evalnet.train.steps_per_epoch=25", "evalnet.train.batch_size=8",
)  # fmt: skip
SETTINGS = (
    "data.height=64", "data.width=64", "generations=0", f"num_baseline_nets={NETS}", f"report_top_k={NETS}",
    f"train.epochs={STEPS // 25}", "train.steps_per_epoch=25", f"train.batch_size={BATCH}", *EVALNET,
)  # fmt: skip


class Set(NamedTuple):
    """A dataset of the study: all are binary."""

    title: str
    folder: str
    """Below `--data`."""
    settings: tuple[str, ...]


SETS = (
    Set("ISIC 2017", "isic2017", ("data.dataset=isic2017", "data.label_fraction=0.05")),
    Set("DSB 2018", "dsb2018", ("data.dataset=dsb2018", "data.label_fraction=0.1")),
    Set("CVC-ClinicDB", "cvc_clinicdb", ()),
)
TITLES = {
    "mixture": "mixture",
    "pairwise_iou": "pairwise IoU",
    "expected_iou": "expected IoU",
    "agreement": "agreement: F ÷ (F + D)",
    "evalnet": "EvalNet's score of the pair",
    "consistent_share": "share of pixels without disagreement",
    "mean_probability": "mean probability of all pixels",
}
"""Of the table's lines; F: pixels that all nets mark, D: pixels of disagreement."""


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("data", "data", "Folder with a folder per dataset.")
    flags.DEFINE_string("root", "runs/label_order", "Folder of the runs' folders.")
    flags.DEFINE_list("seeds", ["0"], "Seeds of the runs.")


def main(_: list[str]) -> None:
    """Train what is not trained, measure what is not measured, print the table."""
    data, root = Path(FLAGS.data), Path(FLAGS.root)
    runs = [(one, make_run(one, int(seed), data, root)) for one in SETS for seed in FLAGS.seeds]
    missing = [run for _, run in runs if not run_status.is_finished(run)]
    failed = local.run_sweep(missing, 1) if missing else ()
    found = [(one.title, figures(run)) for one, run in runs if run_status.is_finished(run)]
    print("\n".join(render(found)))
    if failed:
        raise TrainingError(run_status.summarize_failures(failed, len(runs)))


def make_run(one: Set, seed: int, data: Path, root: Path) -> SweepRun:
    """The run of a set and a seed."""
    name = f"{one.folder}-seed={seed}"
    settings = [f"data.dir={data / one.folder}", *SETTINGS, *one.settings, f"seed={seed}"]
    (point,) = make_points([CONFIG], [], settings, root)
    return SweepRun(name, root / name, point.flags, point.config)


def figures(run: SweepRun) -> dict[str, Any]:
    """Rank correlation of each score, and what it was measured on; kept in the run's folder."""
    path = run.workdir / "label_order.json"
    if not path.exists():
        iou, scores = measure(run.workdir, run.config)
        rho = {name: float(stats.spearmanr(values, iou).statistic) for name, values in scores.items()}
        found = {"images": len(iou), "iou": float(iou.mean()), "rho": rho}
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def measure(workdir: Path, config: Config) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """True IoU of the nets' common mask of each test image, and each score of it, `[n]`."""
    cache = Path(config.data.cache or pack.default_cache())
    test = pack.load_packed(pack.prepare_dataset(config.data, cache)).splits["test"]
    model = load_model(workdir)
    canvases = model.predict_probabilities(iter(test.images), model.make_tiler(), NETS)
    iou, rows = [], []
    for (_, canvas), truth in zip(canvases, test.labels, strict=True):
        iou.append(true_iou(np.asarray(probabilities_to_label("binary", canvas.mean(0))), truth))
        own = image_scores.score_image(model.spec, canvas)._asdict()
        inconsistent = inconsistency_mask(model.spec, Mask(), canvas, truth.shape)
        rows.append(own | {"consistent_share": 1 - inconsistent.mean()})
    # An image in which nothing is found has no scores; all of these sets have an object in each.
    scores = {name: np.nan_to_num([row[name] for row in rows]) for name in rows[0]}
    return np.array(iou), scores | {"evalnet": score_by_evalnets(workdir, config, model, test.images)}


def true_iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """IoU of a binary mask; of two empty ones 1."""
    predicted, true = (mask == 1) & (truth != VOID), truth == 1
    union = (predicted | true).sum()
    return float((predicted & true).sum() / union) if union else 1.0


def score_by_evalnets(workdir: Path, config: Config, model: TrainedModel, images: np.ndarray) -> np.ndarray:
    """EvalNets' score of each image blocked where the nets disagree, as they have learned pairs."""
    import jax

    published = dataclasses.replace(config.mask, image_value="zero", label_value="zero")
    labeling = Labeling(config.method, model.spec, config.ensemble, published)
    pair = model.pseudo_label(labeling, images, jax.random.key(0), NETS)
    (folder,) = (workdir / "stages").glob("*_evalnet")
    score = make_evalnet_scorer(folder, model.spec, model.runtime, config.ensemble.members)
    blocked = training_sets.blocked(images, pair.label, pair.inconsistent, published)
    return np.asarray(score(blocked))


def render(found: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """The table as lines of Markdown: means over seeds."""
    titles = list(dict.fromkeys(title for title, _ in found))
    by_title = {title: [one for other, one in found if other == title] for title in titles}
    lines = [table.format_row(["score", *titles, "mean"]), table.format_row(["---"] * (len(titles) + 2))]
    means = {
        name: [statistics.fmean(one["rho"][name] for one in by_title[title]) for title in titles]
        for name in TITLES
    }
    for name, values in sorted(means.items(), key=lambda pair: -sum(pair[1])):
        cells = [f"{v:.2f}" for v in (*values, statistics.fmean(values))]
        lines.append(table.format_row([TITLES[name], *cells]))
    for what, text in (("images", "test images"), ("iou", "their mean IoU")):
        values = [statistics.fmean(one[what] for one in by_title[title]) for title in titles]
        cells = [f"{v:.2f}" if what == "iou" else f"{v:.0f}" for v in values]
        lines.append(table.format_row([text, *cells, ""]))
    return [*lines, "", f"{NETS} nets, {STEPS} steps of {BATCH} images at 64², {len(found)} runs"]


if __name__ == "__main__":
    define_flags()
    cli.run(main)
