"""What a run knows of the samples it was made with: their splits, and whether their files have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from imjax.data.readers.base import Sample
from imjax.errors import ErrorCode, file_error
from imjax.json_io import read_json

FILE = "samples.json"
"""In a run's folder."""
NAMED = 3
"""Images that a line names."""

Records = Mapping[str, Mapping[str, str]]
"""Name of a sample → `split`, and hashes of its `image` and its `truth`; the latter empty without one."""


def make_records(chosen: Mapping[str, Sequence[Sample]], hashes: Mapping[Path, str], raw: Path) -> Records:
    """Records of a division.

    Args:
        chosen: samples by split.
        hashes: of the contents of their files.
        raw: the folder; tables right in it, such as `classes.csv`, are no part of a single sample.
    """
    records = {}
    for split, samples in chosen.items():
        for sample in samples:
            image = hashes[sample.image][:16] if sample.image else ""
            truth = [path for path in (sample.mask, *sample.more_masks) if path and path.parent != raw]
            marks = "".join(hashes[path][:16] for path in truth)
            records[sample.name] = {"split": split, "image": image, "truth": marks}
    return records


def read_records(workdir: Path) -> Records:
    """Records of a run; UserError where its folder has none."""
    path = workdir / FILE
    try:
        records = read_json(path)
        if not all({"split", "image", "truth"} <= record.keys() for record in records.values()):
            raise ValueError("an entry without split, image or truth")
        return records
    except OSError as error:
        raise file_error(
            path,
            f"{error.strerror}; expected the folder of a run, whose val and test images stay what they are",
            ErrorCode.UNREADABLE,
        ) from error
    except (ValueError, AttributeError, TypeError) as error:
        raise file_error(path, f"damaged ({error}); name another run", ErrorCode.DAMAGED) from error


def keep_division(
    parts: Mapping[str, list[Sample]], earlier: Records, label_fraction: float
) -> dict[str, list[Sample]]:
    """Parts in which the val and test images of an earlier run stay what they are.

    Of the other images of a pool those that were labeled stay so. New ones, and with `label_fraction` 1 all,
    are labeled. A dataset that is no pool is divided by its own files, and stays as it is.

    Args:
        parts: of `Reader.scan`.
        earlier: of the earlier run.
        label_fraction: of this run.
    """
    if "train_val_test" not in parts:
        return dict(parts)
    kept: dict[str, list[Sample]] = {"labeled": [], "train": [], "val": [], "test": []}
    kept["unlabeled"] = list(parts.get("unlabeled", []))
    for sample in parts["train_val_test"]:
        before = earlier.get(sample.name, {"split": "labeled"})["split"]
        stays = before in ("val", "test", "labeled") or label_fraction < 1
        split = before if stays else "labeled"
        kept["train" if split == "unlabeled" else split].append(sample)
    return kept


def describe_changes(before: Records, now: Records) -> str:
    """`3 masks more (a, b, c), 1 image gone (d)`; empty where nothing has changed."""
    both = before.keys() & now.keys()
    lines = [
        _count(now.keys() - before.keys(), "image", "more"),
        _count(before.keys() - now.keys(), "image", "gone"),
        _count((n for n in both if before[n]["image"] != now[n]["image"]), "image", "changed"),
    ]
    masks: dict[str, list[str]] = {"more": [], "gone": [], "changed": []}
    for name in before.keys() | now.keys():
        old, new = (records.get(name, {"truth": ""})["truth"] for records in (before, now))
        if old != new:
            masks["more" if not old else "gone" if not new else "changed"].append(name)
    lines = [*(_count(names, "mask", what) for what, names in masks.items()), *lines]
    moved = [n for n in both if before[n]["split"] != now[n]["split"] and _is_measured(before[n], now[n])]
    return ", ".join(filter(None, [*lines, _count(moved, "image", "in or out of val or test")]))


def list_leaks(before: Records, now: Records) -> list[str]:
    """Images that measure now, and that the earlier run has trained on."""
    return sorted(
        name
        for name, record in now.items()
        if record["split"] in ("val", "test")
        and before.get(name, {"split": ""})["split"] in ("labeled", "unlabeled")
    )


def _is_measured(*records: Mapping[str, str]) -> bool:
    return any(record["split"] in ("val", "test") for record in records)


def _count(names: Iterable[str], noun: str, what: str) -> str:
    found = sorted(names)
    if not found:
        return ""
    named = ", ".join(found[:NAMED]) + (", …" if len(found) > NAMED else "")
    return f"{len(found)} {noun}{'s' if len(found) > 1 else ''} {what} ({named})"
