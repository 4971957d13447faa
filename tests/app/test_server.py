"""What the page's server answers, and what it refuses."""

import json

import numpy as np
import pytest
from app_folders import SIZE, columns, halves, make_folder, pack, serve, write

pytest.importorskip("starlette", reason="the extra imjax[app]")

MARKUP = "<img src=x onerror=alert(1)>&\"'"
LOCAL = "http://127.0.0.1:8765"


@pytest.fixture
def raw(tmp_path):
    return make_folder(tmp_path / "own", {"a.png": halves(0, 255)})


@pytest.fixture
def client(raw):
    with serve(raw) as client:
        yield client


def version(answer):
    return {"If-Match": answer.headers["etag"]}


def test_masks_go_to_the_browser_and_back(client):
    folder = client.get("/api/folder").json()
    assert [(image["name"], image["mask"]) for image in folder["images"]] == [
        ("a", True), ("bare0", False), ("bare1", False),
    ]  # fmt: skip
    answer = client.get("/api/mask", params={"name": "bare0"})
    assert answer.content == bytes(SIZE[0] * SIZE[1]) and answer.headers["etag"] == '"none"'
    painted = columns(0, 1, 0)
    put = client.put("/api/mask", params={"name": "bare0"}, content=pack(painted), headers=version(answer))
    assert put.status_code == 200
    again = client.get("/api/mask", params={"name": "bare0"})
    assert again.content == painted.tobytes() and again.headers["etag"] == put.headers["etag"]
    assert client.get("/api/folder").json()["images"][1]["mask"]
    for path in ("/api/image", "/api/thumbnail"):
        assert client.get(path, params={"name": "bare0"}).headers["content-type"].startswith("image/")


def test_a_second_writer_is_told(client):
    first = version(client.get("/api/mask", params={"name": "a"}))
    save = {"params": {"name": "a"}, "content": pack(columns(1, 0)), "headers": first}
    assert client.put("/api/mask", **save).status_code == 200
    refused = client.put("/api/mask", **save)
    assert refused.status_code == 409 and "another window" in refused.json()["error"]
    # Without the version that was painted on nothing is overwritten.
    assert client.put("/api/mask", params={"name": "a"}, content=pack(columns(0, 1))).status_code == 409


@pytest.mark.parametrize(
    "name", ["../own/images/a", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "no such", "\0"]
)
def test_no_path_leads_out_of_the_folder(client, raw, name):
    write(raw.parent / "images" / "a.png", halves(0, 1))
    for path in ("/api/image", "/api/mask", "/api/thumbnail"):
        assert client.get(path, params={"name": name}).status_code == 404
    put = client.put(
        "/api/mask", params={"name": name}, content=pack(halves(0, 1)), headers={"If-Match": "none"}
    )
    assert put.status_code == 404
    for path in ("/api/report", "/api/scores", "/api/prediction"):
        assert client.get(path, params={"run": name, "name": "a"}).status_code == 404
    assert client.post("/api/runs", content=json.dumps({"action": "resume", "run": name})).status_code == 404
    for path in ("/../pyproject.toml", "/page/../server.py", "/%2e%2e/server.py", "/static/app.js"):
        assert client.get(path).status_code == 404


def test_names_that_hold_markup_are_names(tmp_path):
    raw = make_folder(tmp_path, {f"{MARKUP.replace('/', '')}.png": halves(0, 255)})
    with serve(raw) as client:
        page = client.get("/")
        assert "onerror" not in page.text and "script-src 'self'" in page.headers["content-security-policy"]
        answer = client.get("/api/folder")
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.json()["images"][0]["name"] == MARKUP
        assert client.get("/api/mask", params={"name": MARKUP}).content == halves(0, 1).tobytes()
        refused = client.get("/api/mask", params={"name": MARKUP + "x"})
        assert refused.headers["content-type"] == "application/json"


def test_the_page_never_sets_markup():
    from imjax.app.server import PAGE

    for path in PAGE.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text, f"{path.name} has {word}"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (pack(np.zeros((3, 3), np.uint8)), 422),
        (pack(np.full(SIZE, 7, np.uint8)), 422),
        (b"not packed", 422),
        (pack(np.zeros(50_000_000, np.uint8)), 422),  # 48 kB that would become 50 MB
        (bytes(10_000_000), 413),
    ],
    # What is packed holds the time of day, and tests must have the same names in all processes.
    ids=["other_size", "unknown_value", "not_packed", "bomb", "too_long"],
)
def test_what_is_no_mask_is_refused(client, raw, content, status):
    before = (raw / "masks" / "a.png").read_bytes()
    headers = version(client.get("/api/mask", params={"name": "a"}))
    answer = client.put("/api/mask", params={"name": "a"}, content=content, headers=headers)
    assert answer.status_code == status and (raw / "masks" / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "10.0.0.1", ""]
)
def test_other_names_of_this_machine_are_refused(client, host):
    for method in ("GET", "PUT", "POST"):
        headers = {"host": host, "origin": f"http://{host}"}
        assert client.request(method, "/api/folder", headers=headers).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1:8765", "[::1]:8765", "127.0.0.1"])
def test_own_names_are_taken(client, host):
    assert client.get("/api/folder", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:9999"])
def test_other_pages_do_not_write(client, raw, origin):
    before = (raw / "masks" / "a.png").read_bytes()
    headers = version(client.get("/api/mask", params={"name": "a"})) | {"origin": origin}
    save = {"params": {"name": "a"}, "content": pack(columns(1, 0)), "headers": headers}
    assert client.put("/api/mask", **save).status_code == 403
    start = json.dumps({"action": "start", "preset": "quick"})
    assert client.post("/api/runs", content=start, headers={"origin": origin}).status_code == 403
    assert client.post("/api/scan", headers={"origin": origin}).status_code == 403
    assert (raw / "masks" / "a.png").read_bytes() == before and not (raw / "runs").exists()


def test_other_machines_need_the_token(raw):
    with serve(raw, host="0.0.0.0", token="secret-token") as client:
        for path in ("/", "/app.js", "/api/folder", "/?token=wrong", "/?token=", "/?token=s%C3%A9cret"):
            answer = client.get(path)
            assert answer.status_code == 401 and "own" not in answer.text
        assert client.get("/api/folder?token=secret-token").status_code == 401
        assert client.get("/", headers={"host": "evil.example"}).status_code == 421
        welcome = client.get("/?token=secret-token")
        assert welcome.status_code == 303 and welcome.headers["location"] == "/"
        assert "HttpOnly" in welcome.headers["set-cookie"] and "SameSite=lax" in welcome.headers["set-cookie"]
        assert client.get("/api/folder").status_code == 200
        # With the token, too, only the page itself writes.
        assert client.post("/api/scan", headers={"origin": "http://evil.example"}).status_code == 403
        assert client.post("/api/scan").status_code == 200


def test_a_report_cannot_talk_to_the_server(client, raw):
    run = raw / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    (run / "report.html").write_text("<script>fetch('/api/scan')</script>")
    policy = client.get("/api/report", params={"run": "mine"}).headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts;") and "default-src 'none'" in policy


def test_what_is_wrong_in_a_request_is_said(client):
    for content in ("[]", "{", json.dumps({"action": "fly"}), json.dumps({"action": "start", "preset": "x"})):
        assert client.post("/api/runs", content=content).status_code == 422
    assert client.post("/api/runs", content=" " * 20_000).status_code == 413
    assert client.get("/api/mask").status_code == 422


def test_new_files_are_seen_after_a_scan(client, raw):
    write(raw / "images" / "new.png", np.zeros((*SIZE, 3), np.uint8))
    assert len(client.get("/api/folder").json()["images"]) == 3
    assert len(client.post("/api/scan").json()["images"]) == 4
