"""Checksums of a stage's files, as DONE.json lists them."""

from __future__ import annotations

from pathlib import Path

from imjax.data.fingerprint import hash_file
from imjax.errors import ErrorCode, file_error
from imjax.json_io import read_json


def compute_checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a stage except DONE.json, by its path in the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "DONE.json")
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}


def verify_nets(folder: Path) -> None:
    """Compare what predictions read of a training stage, `nets` and `train.json`, with DONE.json.

    The stage's other files may be absent: a copy for predictions needs none of them.

    Raises:
        UserError: a file is missing or not as it was written, or DONE.json has no checksums.
    """
    done = folder / "DONE.json"
    try:
        listed = {str(name): str(checksum) for name, checksum in read_json(done)["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise file_error(
            done,
            f"the checksums of the nets cannot be read ({type(error).__name__}); copy the stage again",
            ErrorCode.DAMAGED,
        ) from error
    for name, checksum in listed.items():
        if name != "train.json" and not name.startswith("nets/"):
            continue
        path = folder / name
        try:
            actual = hash_file(path)
        except OSError as error:
            reason = f"cannot be read ({error.strerror}), though DONE.json lists it; copy the stage again"
            raise file_error(path, reason, ErrorCode.DAMAGED) from error
        if actual != checksum:
            raise file_error(
                path,
                "damaged: its checksum is not the one in DONE.json; copy the stage again, or give the run's "
                "own command again, which repeats the stage",
                ErrorCode.DAMAGED,
            )
