"""The page's server: what the browser asks for, answered from the folder, the runs and their predictions.

Masks travel as one byte per pixel, `[h, w]` in the order of rows, by gzip: what a browser reads back from a
canvas may be altered, by color management or to hide who one is.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from imjax.app import comparison, pictures
from imjax.app.access import AccessControl
from imjax.app.folder_store import FolderStore, VersionConflict
from imjax.app.jobs import PRESETS, Jobs
from imjax.app.predictions import PredictionFiles
from imjax.errors import ErrorCode, UserError

PAGE = Path(__file__).with_name("page")
FILES = {
    "/": ("index.html", "text/html"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/style.css": ("style.css", "text/css"),
    "/app.js": ("app.js", "text/javascript"),
    "/painter.js": ("painter.js", "text/javascript"),
}
LARGEST_JSON = 10_000
"""Bytes of a request that starts or stops something."""
SPARE = 65_536
"""Bytes that gzip may add to a mask that it cannot shrink."""
POLL_SECONDS = 1.0
THUMBNAILS = 4000
"""Kept in memory, a few kB each."""
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; font-src data:"
)
"""Of a run's report, which is a page of its own with everything in it."""


class _TooLarge(Exception):
    """A request is larger than what it is for can be."""


Endpoint = Callable[[Request], Awaitable[Response]]


class Page:
    """Answers for one folder and its runs.

    Args:
        store: images and masks.
        jobs: runs.
    """

    def __init__(self, store: FolderStore, jobs: Jobs):
        self._store, self._jobs = store, jobs
        self._thumbnail = functools.lru_cache(THUMBNAILS)(self._draw_thumbnail)

    def routes(self) -> list[Route]:
        """What can be asked for."""
        static = [Route(path, _file(name, kind)) for path, (name, kind) in FILES.items()]
        table: list[tuple[str, Endpoint, str]] = [
            ("/api/folder", self.describe_folder, "GET"),
            ("/api/scan", self.scan, "POST"),
            ("/api/image", self.show_image, "GET"),
            ("/api/thumbnail", self.show_thumbnail, "GET"),
            ("/api/mask", self.send_mask, "GET"),
            ("/api/mask", self.save_mask, "PUT"),
            ("/api/prediction", self.send_prediction, "GET"),
            ("/api/scores", self.list_scores, "GET"),
            ("/api/runs", self.list_runs, "GET"),
            ("/api/runs", self.change_run, "POST"),
            ("/api/report", self.show_report, "GET"),
            ("/api/compare", self.compare, "GET"),
        ]
        return static + [
            Route(path, _answered(function), methods=[method]) for path, function, method in table
        ]

    async def describe_folder(self, _: Request) -> Response:
        """The folder's classes and images."""
        store = self._store
        images = [
            {
                "name": name, "height": store.image_size(name)[0], "width": store.image_size(name)[1],
                "mask": store.has_mask(name), "split": store.splits.get(name, ""),
                # As text: JavaScript has no whole numbers of this size.
                "stamp": str(store.mask_stamp(name)),
            }
            for name in store.names
        ]  # fmt: skip
        return JSONResponse(
            {
                "title": store.raw.resolve().name, "kind": store.meaning.kind, "ground": store.ground,
                "classes": [dataclasses.asdict(each) for each in store.classes], "void": store.has_void,
                "readOnly": store.read_only, "presets": [dataclasses.asdict(preset) for preset in PRESETS],
                "images": images,
            }
        )  # fmt: skip

    async def scan(self, request: Request) -> Response:
        """Look at the folder anew."""
        await run_in_threadpool(self._store.scan)
        return await self.describe_folder(request)

    async def show_image(self, request: Request) -> Response:
        """An image, shrunk if it is very large."""
        image = await run_in_threadpool(self._store.load_image, _text(request, "name"))
        data = await run_in_threadpool(
            lambda: pictures.encode_png(pictures.shrink(image, pictures.MOST_SIDE))
        )
        return Response(data, media_type="image/png")

    async def show_thumbnail(self, request: Request) -> Response:
        """A small image with its mask, or with what a run predicts for it."""
        name, run = _text(request, "name"), request.query_params.get("run", "")
        version = await run_in_threadpool(self._store.mask_version, name)
        data = await run_in_threadpool(self._thumbnail, name, run, "" if run else version)
        return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})

    def _draw_thumbnail(self, name: str, run: str, _version: str) -> bytes:
        image, inconsistency = self._store.load_image(name), None
        if run:
            pixels, inconsistency = self._predictions(run).read(name)
        else:
            pixels = self._store.load_mask(name).pixels
        return pictures.encode_jpeg(pictures.draw_thumbnail(self._store, image, pixels, inconsistency))

    async def send_mask(self, request: Request) -> Response:
        """The mask of an image, with its version as ETag."""
        mask = await run_in_threadpool(self._store.load_mask, _text(request, "name"))
        return await run_in_threadpool(_pixels, mask.pixels, {"etag": f'"{mask.version}"'})

    async def save_mask(self, request: Request) -> Response:
        """Write a mask that was painted on the version that If-Match names."""
        name, version = _text(request, "name"), request.headers.get("if-match", "").strip('"')
        height, width = self._store.image_size(name)
        body = await _read_body(request, height * width + SPARE)
        data = await run_in_threadpool(_unzip, body, height * width)
        if len(data) != height * width:
            raise UserError(
                f"{len(data)} pixels, expected {height * width} as {name!r} has; load it again",
                code=ErrorCode.WRONG_TYPE,
                field="mask",
            )
        pixels = np.frombuffer(data, np.uint8).reshape(height, width)
        new = await run_in_threadpool(self._store.save_mask, name, pixels, version)
        return JSONResponse({"version": new}, headers={"etag": f'"{new}"'})

    def _predictions(self, run: str) -> PredictionFiles:
        return PredictionFiles(self._jobs.workdir(run))

    async def send_prediction(self, request: Request) -> Response:
        """A run's prediction for an image: the mask, or with `what=inconsistency` where its nets disagree."""
        files, name = self._predictions(_text(request, "run")), _text(request, "name")
        self._store.image_path(name)
        labels, inconsistency = await run_in_threadpool(files.read, name)
        wanted = request.query_params.get("what", "mask")
        return await run_in_threadpool(
            _pixels, inconsistency.astype(np.uint8) if wanted == "inconsistency" else labels, {}
        )

    async def list_scores(self, request: Request) -> Response:
        """Image → score of a run."""
        files = self._predictions(_text(request, "run"))
        return JSONResponse(await run_in_threadpool(files.read_scores, self._store))

    async def list_runs(self, _: Request) -> Response:
        """Runs, newest first, and how far they are."""
        # Here and where runs are started: in the main thread, with which the system ends their processes.
        self._jobs.poll()
        runs = []
        for name in self._jobs.list_names():
            status = self._jobs.status(name)
            headline = _headline(self._jobs.workdir(name)) if status.state == "finished" else None
            runs.append(dataclasses.asdict(status) | {"headline": headline})
        return JSONResponse(runs)

    async def change_run(self, request: Request) -> Response:
        """Start, stop or resume a training, or predict by a run."""
        values = await _read_json(request)
        action, run = values.get("action"), str(values.get("run", ""))
        if action == "start":
            run = self._jobs.start(str(values.get("preset", "")), str(values.get("source", "")))
        elif action == "stop":
            self._jobs.stop(run)
        elif action == "resume":
            self._jobs.resume(run)
        elif action == "predict":
            self._jobs.predict(run)
        else:
            raise UserError(
                f"action {action!r}: expected start, stop, resume or predict",
                code=ErrorCode.OUT_OF_RANGE,
                field="action",
            )
        return JSONResponse({"run": run})

    async def show_report(self, request: Request) -> Response:
        """The report of a run, which may not talk to this server."""
        path = self._jobs.workdir(_text(request, "run")) / "report.html"
        if not path.is_file():
            return PlainTextResponse("this run has no report yet", 404)
        return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})

    async def compare(self, request: Request) -> Response:
        """Test figures of two runs."""
        folders = [self._jobs.workdir(_text(request, each)) for each in ("first", "second")]
        found = await run_in_threadpool(comparison.compare_runs, *folders)
        return JSONResponse(dataclasses.asdict(found))

    async def watch(self) -> None:
        """Take note of processes that end, whether or not a page is open."""
        while True:
            with contextlib.suppress(UserError):
                self._jobs.poll()
            await asyncio.sleep(POLL_SECONDS)


def make_app(store: FolderStore, jobs: Jobs, host: str, port: int, token: str) -> AccessControl:
    """The server of a folder, see `AccessControl`."""
    page = Page(store, jobs)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(page.watch())
        try:
            yield
        finally:
            watching.cancel()
            jobs.close()

    return AccessControl(Starlette(routes=page.routes(), lifespan=lifespan), host, port, token)


def _answered(function: Endpoint) -> Endpoint:
    """Errors that the person can fix, as answers."""

    @functools.wraps(function)
    async def answer(request: Request) -> Response:
        try:
            return await function(request)
        except VersionConflict:
            text = "somebody else, or another window, has saved this mask meanwhile"
            return JSONResponse({"error": text, "code": "conflict"}, 409)
        except _TooLarge:
            return JSONResponse({"error": "larger than what it is for", "code": "too_large"}, 413)
        except UserError as error:
            missing = error.code in (ErrorCode.UNKNOWN, ErrorCode.MISSING)
            busy = error.code is ErrorCode.IN_USE
            status = 404 if missing else 423 if busy else 422
            return JSONResponse({"error": str(error), "code": error.code.value}, status)

    return answer


def _file(name: str, kind: str) -> Endpoint:
    async def answer(_: Request) -> Response:
        return FileResponse(PAGE / name, media_type=kind)

    return answer


def _text(request: Request, key: str) -> str:
    value = request.query_params.get(key, "")
    if not value:
        raise UserError(f"{key} is missing in the address", code=ErrorCode.MALFORMED, field=key)
    return value


def _pixels(pixels: np.ndarray, headers: Mapping[str, str]) -> Response:
    height, width = pixels.shape
    data = gzip.compress(np.ascontiguousarray(pixels).tobytes(), 1, mtime=0)
    own = {"content-encoding": "gzip", "x-height": str(height), "x-width": str(width)}
    return Response(data, media_type="application/octet-stream", headers={**headers, **own})


async def _read_body(request: Request, most: int) -> bytes:
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > most:
            raise _TooLarge
        parts.append(part)
    return b"".join(parts)


def _unzip(data: bytes, most: int) -> bytes:
    """What gzip has packed; one byte more than `most` at the most, whatever it would unpack to."""
    try:
        return zlib.decompressobj(wbits=31).decompress(data, most + 1)
    except zlib.error as error:
        raise UserError(
            f"mask is not packed by gzip ({error})", code=ErrorCode.MALFORMED, field="mask"
        ) from error


async def _read_json(request: Request) -> dict[str, Any]:
    try:
        values = json.loads(await _read_body(request, LARGEST_JSON))
    except ValueError as error:
        raise UserError("expected JSON", code=ErrorCode.MALFORMED, field="body") from error
    if not isinstance(values, dict):
        raise UserError("expected a JSON object", code=ErrorCode.MALFORMED, field="body")
    return values


@functools.lru_cache(256)
def _headline(workdir: Path) -> tuple[str, float] | None:
    # Results of a finished run stay as they are.
    return comparison.read_headline(workdir)
