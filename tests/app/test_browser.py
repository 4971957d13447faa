"""The page in a real browser, by playwright: paint, save, reload, train, see the new masks."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from app_folders import write
from PIL import Image

from imjax.app.folder_store import FolderStore
from imjax.app.predictions import PredictionFiles

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
SIZE = (48, 64)
MARKUP = "<img src=x onerror=document.title='hit'>"
SERVER = """
    import sys
    from pathlib import Path
    from imjax.app import jobs, server
    from imjax.app.__main__ import serve

    jobs.PRESETS = server.PRESETS = (jobs.Preset("quick", "Quick test", sys.argv[2], "Two steps."),)
    serve(Path(sys.argv[1]), Path(sys.argv[1]) / "runs", "127.0.0.1", 0)
"""
CONFIG = """
    from imjax import config

    def get_config(preset=None):
        quick = config.get_config("folder", "ldt", "tiny")
        quick.train.epochs, quick.train.steps_per_epoch, quick.train.batch_size = 1, 2, 2
        quick.data.height = quick.data.width = 32
        quick.data.cache = "{cache}"
        return quick
"""


@pytest.fixture(scope="module")
def browser():
    """Chromium of the system, or playwright's own."""
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    pytest.importorskip("uvicorn", reason="the extra imjax[app]")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with api.sync_playwright() as playwright:
        if path is None and not Path(playwright.chromium.executable_path).is_file():
            pytest.skip("no Chromium: playwright install chromium")
        # Without a sandbox: in containers a browser of root has none.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Discs on noise, with masks for most."""
    raw = tmp_path_factory.mktemp("page") / "own"
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    for i, name in enumerate(["s0", "s1", "s2", "s3", "s4", "s5", "bare", MARKUP]):
        random = np.random.default_rng(i)
        disc = (rows - random.integers(12, 36)) ** 2 + (columns - random.integers(12, 52)) ** 2 < 100
        image = random.integers(0, 90, (*SIZE, 3)) + 120 * disc[..., None]
        write(raw / "images" / f"{name}.png", image.astype(np.uint8))
        if name.startswith("s"):
            write(raw / "masks" / f"{name}.png", np.uint8(255) * disc)
    return raw


@pytest.fixture(scope="module")
def address(raw, quick_environment):
    config = raw.parent / "quick.py"
    config.write_text(textwrap.dedent(CONFIG.format(cache=raw.parent / "cache")))
    environment = dict(
        quick_environment, PYTHONPATH=os.pathsep.join([str(ROOT), quick_environment["PYTHONPATH"]])
    )
    command = [sys.executable, "-c", textwrap.dedent(SERVER), str(raw), str(config)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    lines = iter(server.stdout.readline, "")
    yield next(line.split()[1] for line in lines if line.startswith("open http://"))
    server.terminate()
    server.wait(60)
    server.stdout.close()


@pytest.fixture
def visit(browser, address):
    """Opens the page in a window of its own; nothing may go wrong in it."""
    contexts, errors = [], []

    def visit(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Policy" in message.text else None)
        page.goto(address)
        page.wait_for_selector("body[data-ready=yes]")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not errors


def wait_until(page, condition, value, seconds=20):
    """Until a JavaScript function is true of a value; the page's policy forbids playwright's own way."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition, value):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def open_image(page, name):
    page.locator("#images button").filter(has=page.get_by_text(name, exact=True)).click()
    wait_until(page, "name => document.querySelector('#stage').dataset.image === name", name)


def drag(page):
    """A stroke across the middle of the image."""
    box = page.locator("#stage").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 60, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=5)
    page.mouse.up()
    return x, y


def save(page):
    before = page.get_attribute("#stage", "data-version")
    page.click("#save")
    wait_until(page, "old => document.querySelector('#stage').dataset.version !== old", before)


def read(raw, name):
    return np.asarray(Image.open(raw / "masks" / f"{name}.png"))


def test_paint_save_and_reload(visit, raw):
    page = visit()
    open_image(page, "bare")
    x, y = drag(page)
    page.keyboard.press("Control+z")
    assert page.get_attribute("#stage", "data-dirty") == "false"
    page.keyboard.press("Control+Shift+z")
    save(page)
    mask = read(raw, "bare")
    assert set(np.unique(mask)) == {0, 255} and mask[24, 32] == 255 and mask[2, 2] == 0
    page.reload()
    page.wait_for_selector("body[data-ready=yes]")
    open_image(page, "bare")
    page.mouse.move(x, y)
    page.wait_for_selector("#status:has-text(': foreground')")
    page.keyboard.press("e")
    drag(page)
    page.keyboard.press("Control+s")
    page.wait_for_selector("#stage[data-dirty=false]")
    assert not read(raw, "bare").any()
    # By the keyboard alone, and the impatient way.
    page.keyboard.press("b")
    page.keyboard.press("x")
    for _ in range(3):
        page.keyboard.press("Control+s")
    page.wait_for_selector("#stage[data-dirty=false]")
    assert page.locator("#question[open]").count() == 0
    assert read(raw, "bare")[24, 32] == 255


def test_a_second_window_is_told(visit, raw):
    first, second = visit(), visit()
    for page in (first, second):
        open_image(page, "s0")
        drag(page)
    save(first)
    written = read(raw, "s0")
    second.click("#save")
    second.wait_for_selector("#question[open]")
    assert "changed by somebody else" in second.inner_text("#question")
    second.get_by_text("Show theirs").click()
    second.wait_for_selector("#stage[data-dirty=false]")
    assert np.array_equal(read(raw, "s0"), written)


def test_names_are_text(visit):
    page = visit()
    open_image(page, MARKUP)
    assert page.locator("#images img[src=x]").count() == 0 and "hit" not in page.title()
    page.click("#tab-compare")
    assert page.locator("main img[src=x]").count() == 0


def test_a_phone(visit, raw):
    page = visit(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    open_image(page, "bare")
    box = page.locator("#stage").bounding_box()
    assert box["height"] > 200
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 0.6 * box["height"])
    assert page.get_attribute("#stage", "data-dirty") == "true"
    for view in ("paint", "train", "compare"):
        page.click(f"#tab-{view}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_train_and_see_the_new_masks(visit, raw):
    page = visit()
    page.click("#tab-train")
    page.click("#start")
    page.wait_for_selector("[data-run=run-001-quick][data-state=running]")
    page.wait_for_selector("[data-run=run-001-quick][data-state=finished] .figure", timeout=300_000)
    wait_until(page, "run => document.querySelector('#run-select').value === run", "run-001-quick", 120)
    page.wait_for_selector("[data-run=run-001-quick] >> text=Report", timeout=120_000)
    files = PredictionFiles(raw / "runs" / "run-001-quick")
    assert len(files.read_scores(FolderStore(raw))) == 8
    page.click("#tab-paint")
    scores = [float(text) for text in page.locator("#images .meter").all_inner_texts()]
    assert len(scores) == 8 and scores == sorted(scores)
    open_image(page, "bare")
    page.wait_for_selector("#accept:enabled")
    page.keyboard.press("p")
    save(page)
    assert np.array_equal(read(raw, "bare") == 255, files.read("bare")[0] == 1)
    page.click("#tab-compare")
    page.wait_for_selector("#figures .primary")
    page.wait_for_selector("#panels figure:nth-child(3) canvas")
