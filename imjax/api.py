"""The Python API: train, load, predict, suggest. `imjax` re-exports it, and the commands are thin over it.

Nothing here reads flags, sets up logging, installs signal handlers or starts the process anew.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from imjax.config.constraints import check
from imjax.config.convert import freeze
from imjax.config.schema import Config
from imjax.data.readers import registry
from imjax.errors import ErrorCode, UserError
from imjax.inference.load_run import load_model
from imjax.inference.suggestions import Suggestion, suggest_images
from imjax.inference.trained_model import TrainedModel
from imjax.methods.registry import GENERATIONAL_METHODS, JOINT_METHODS
from imjax.pipeline import plan, results
from imjax.pipeline.cross_validation import run_cross_validation
from imjax.pipeline.run import Outcome, run_training
from imjax.pipeline.stages import Stage
from imjax.report import write_report
from imjax.user_paths import expand_config, expand_path

if TYPE_CHECKING:
    import pandas


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that is done."""

    workdir: Path
    """Its folder, for `imjax.load`."""
    report: Path
    """Self-contained html page: results, curves, images."""
    table: str
    """Test metrics per method and generation, as text; below it what to know: empty images, failing nets."""

    @property
    def results(self) -> pandas.DataFrame:
        """results.csv: one row per net, split, metric and class.

        Columns `dataset`, `method`, `seed`, `generation` (`<NA>`: a baseline), `member`, `rank` (1: best on
        val), `split`, `metric`, `class` (`<NA>`: the mean over classes) and `value`.
        """
        # Here, since nothing else of a run needs it.
        import pandas

        # Nullable: with plain integers one missing generation would make all of them floats.
        integers = dict.fromkeys(("seed", "generation", "member", "rank"), "Int64")
        text = dict.fromkeys(("dataset", "method", "split", "metric", "class"), "string")
        # Without keep_default_na=False a class named "NA" or "null" would be missing.
        missing = {column: [""] for column in (*integers, "class", "value")}
        return pandas.read_csv(
            self.workdir / "results.csv", dtype=integers | text, keep_default_na=False, na_values=missing
        )


def train(
    config: ConfigDict | Config,
    workdir: str | os.PathLike[str],
    *,
    reuse: Sequence[str | os.PathLike[str]] = (),
    stopping: Callable[[], bool] | None = None,
) -> Run:
    """Train and evaluate all that a configuration asks for, or go on where such a call was stopped.

    Progress bars are shown on stderr if that is a terminal. `logging.getLogger("imjax")` has the messages.

    Args:
        config: of `imjax.get_config`.
        workdir: the run's folder, made if missing. It may hold an unfinished run of the same configuration.
        reuse: folders of other runs, whose finished stages are copied where they are the same.
        stopping: returns True once training should save itself and stop; asked several times a second.

    Raises:
        UserError: a value, the data or a folder do not fit, or another run is in the folder.
        TrainingError: a loss is not finite, or the memory is too small.
        Stopped: `stopping` asked for it; the same call goes on.
    """
    checked = check(config if isinstance(config, Config) else freeze(expand_config(_plain_values(config))))
    folder = expand_path(workdir, "workdir")
    flags = os.environ.get("XLA_FLAGS")
    try:
        run = run_with_report(
            checked, plan.make_plan(checked), folder, [expand_path(path, "reuse") for path in reuse],
            **({} if stopping is None else {"stopping": stopping}),
        )  # fmt: skip
    finally:
        # JAX has read it by now, and the caller's process is left as it was.
        if flags is None:
            os.environ.pop("XLA_FLAGS", None)
        else:
            os.environ["XLA_FLAGS"] = flags
    # Of several processes all but the first see the files that it wrote.
    return run or _describe(folder, "")


def run_with_report(
    config: Config,
    stages: Sequence[Stage],
    workdir: Path,
    reuse: Sequence[Path] = (),
    **how: Any,
) -> Run | None:
    """`run_training`, with `data.folds` `run_cross_validation`, and then `report.html`.

    Args:
        config: checked.
        stages: its plan.
        workdir: the run's folder.
        reuse: folders of other runs.
        how: `pod`, `stopping` and `command` of `run_training`.

    Returns:
        None in all processes but the first of a run of several.

    Raises:
        UserError, TrainingError, Stopped: as `run_training`.
    """

    def finish(outcome: Outcome) -> None:
        write_report([outcome.workdir], outcome.workdir / "report.html")

    run = run_cross_validation if config.data.is_final else run_training
    outcome = run(config, stages, workdir, reuse, finish=finish, **how)
    if outcome is None:
        return None
    table = results.table(outcome.rows, outcome.spec.primary_metric, config.report_top_k)
    notes = results.notes(outcome.rows, outcome.spec)
    parts = [part for part in (table, outcome.note, notes) if part]
    return _describe(outcome.workdir, "\n\n".join(parts))


def load(
    workdir: str | os.PathLike[str], *, stage: str | None = None, batch: int | None = None
) -> TrainedModel:
    """The nets of a finished training stage of a run.

    Only the folder is read, which may be a copy from another machine: no data set, no other path.

    Args:
        workdir: of the run.
        stage: e.g. `train_g1`; None: the last one of the run's method.
        batch: images (or tiles) per call; None: as in the run. Lower: less memory.

    Raises:
        UserError: no run there, or none that this version can read; no such stage, or none that is done.
    """
    return load_model(expand_path(workdir, "workdir"), stage, batch)


def suggest(
    workdir: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    count: int = 10,
    *,
    out: str | os.PathLike[str] | None = None,
    stage: str | None = None,
) -> list[Suggestion]:
    """Which images to mask next: those whose predicted masks are likely to be worst, no near copies.

    Predicted masks, in the format of the folder's own, overlays and `suggestions.csv` are written to `out`.
    A corrected mask that is put into the folder's `masks` is read as the others are.

    Args:
        workdir: of a run on a folder of your own.
        images: a folder of new images, or the run's folder where it was moved; None: the images of the run's
            folder that have no mask by now.
        count: suggestions at most.
        out: written to, made if missing, earlier suggestions there being replaced; None:
            `workdir/suggestions`.
        stage: as of `load`.

    Returns:
        The worst first.

    Raises:
        UserError: no such run or folder, no image without a mask, or `out` holds anything else, such as
            suggested masks that were changed since.
    """
    folder = expand_path(workdir, "workdir")
    model = load_model(folder, stage)
    found = None if images is None else expand_path(images, "images")
    target = folder / "suggestions" if out is None else expand_path(out, "out")
    return suggest_images(folder, model, found, count, target)


def list_methods() -> list[str]:
    """Names of the methods, for `get_config`: the generational ones, then the joint ones."""
    return [*GENERATIONAL_METHODS, *JOINT_METHODS]


def list_datasets() -> list[str]:
    """Names of the datasets, for `get_config`, sorted; `folder` is a folder of the user's own."""
    return registry.names()


def _plain_values(config: Any) -> dict[str, Any]:
    if not isinstance(config, ConfigDict):
        kind = type(config).__name__
        raise UserError(
            f"config is a {kind}; expected what imjax.get_config gives, or a checked Config",
            code=ErrorCode.WRONG_TYPE,
            field="config",
        )
    return config.to_dict()


def _describe(workdir: Path, table: str) -> Run:
    return Run(workdir, workdir / "report.html", table)
