"""Folders for the page's tests, and a client of its server."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (24, 32)


def write(path: Path, pixels: np.ndarray) -> Path:
    """An image or mask as PNG, TIFF or BMP."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def make_folder(raw: Path, masks: dict[str, np.ndarray], bare: int = 2) -> Path:
    """Images for masks, `{path within masks: mask}`, and some without a mask."""
    stems = {Path(name).stem for name in masks}
    for i, stem in enumerate([*sorted(stems), *(f"bare{i}" for i in range(bare))]):
        write(
            raw / "images" / f"{stem}.png",
            np.random.default_rng(i).integers(0, 256, (*SIZE, 3), dtype=np.uint8),
        )
    for name, mask in masks.items():
        write(raw / "masks" / name, mask)
    return raw


def halves(low: int, high: int, dtype: type = np.uint8) -> np.ndarray:
    """A mask whose left part has the first value and the right quarter the second."""
    mask = np.full(SIZE, low, dtype)
    mask[:, 24:] = high
    return mask


def columns(*values: int) -> np.ndarray:
    """A mask with these values in columns of about the same width."""
    return np.broadcast_to(
        np.array(values, np.uint8)[np.arange(SIZE[1]) * len(values) // SIZE[1]], SIZE
    ).copy()


def pack(pixels: np.ndarray) -> bytes:
    """A mask as the page sends it."""
    return gzip.compress(np.ascontiguousarray(pixels).tobytes())


@contextlib.contextmanager
def serve(raw: Path, host: str = "127.0.0.1", token: str = "") -> Iterator:
    """A client of the page's server, without a socket."""
    from starlette.testclient import TestClient

    from imjax.app.folder_store import FolderStore
    from imjax.app.jobs import Jobs
    from imjax.app.server import make_app

    store = FolderStore(raw)
    app = make_app(store, Jobs(store, raw / "runs"), host, 8765, token)
    with TestClient(app, base_url="http://127.0.0.1:8765", follow_redirects=False) as client:
        client.headers["origin"] = "http://127.0.0.1:8765"
        yield client
