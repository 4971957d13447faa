"""Cross-validation: which images with labels a run trains on, picks its nets by, and is tested on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imjax.config.schema import Data
from imjax.errors import ErrorCode, UserError

Sample = Callable[[list[str], float, str, int], tuple[list[str], list[str]]]
"""`splits.StratifiedSampler.sample`."""


def divide_into_folds(
    data: Data, splits: Mapping[str, list[str]], is_pool: bool, sample: Sample
) -> dict[str, list[str]]:
    """The splits of a fold, or of the final nets, from those of a run without folds.

    What is divided are the labeled and the val images, and the test images where they too are drawn from one
    pool; a published test set is left alone. Each fold holds out its part as test and draws val from the
    rest; unlabeled images stay as they are.

    Args:
        data: has `folds` above 1.
        splits: source images by split, from `splits.split_parts`.
        is_pool: whether the test images are drawn.
        sample: draws (names, number, random stream, least rest) → sorted (drawn, rest).

    Returns:
        Sorted source images by split. Of the final nets (`data.fold` 0) labeled, val and test are the same:
        all images with labels. Figures on these say nothing; those of the folds do.

    Raises:
        UserError: fewer images with labels than folds, or than three.
    """
    pool = sorted({*splits["labeled"], *splits["val"], *(splits["test"] if is_pool else ())})
    if len(pool) < max(data.folds, 3):
        raise UserError(
            f"config key 'data.folds' is {data.folds}, but {len(pool)} images have labels; expected at least "
            f"{max(data.folds, 3)}, one for each fold; add masks or take fewer folds",
            code=ErrorCode.TOO_FEW,
            field="data.folds",
        )
    if data.fold == 0:
        return {"labeled": pool, "unlabeled": splits["unlabeled"], "val": pool, "test": pool}
    repeat, part = divmod(data.fold - 1, data.folds)
    left, test = pool, pool
    for i in range(part + 1):
        # Part by part, so that every part has its share of each stratum.
        share = len(left) / (data.folds - i)
        test, left = sample(left, share, f"split/fold{repeat * data.folds + i + 1}", 0)
    rest = sorted({*pool} - {*test})
    val, labeled = sample(rest, data.val_fraction * len(pool), f"split/fold{data.fold}/val", 1)
    return {"labeled": labeled, "unlabeled": splits["unlabeled"], "val": val, "test": test}
