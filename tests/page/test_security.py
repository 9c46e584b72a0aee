"""Attacks on the page: none gets anything of a batch, and none gives an order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from runner.page import assets
from runner.page.security import MOST_WRONG
from tests.page.pages import HOST, ORIGIN, TOKEN, batch, client, source

HOSTS = (
    "", "evil.com", "127.0.0.1.evil.com", "127.0.0.1@evil.com", "evil.com:8080", "0.0.0.0", "0.0.0.0:8080", "127.0.0.2",
    "localhost.evil.com", "[::1].evil.com", "[::]:8080", "[::ffff:127.0.0.1]", "::1", "127.0.0.1:", "127.0.0.1:x",
    "127.0.0.1:8080:8080", "127.1", "2130706433", "0x7f000001", "127.0.0.1:8080/", "127.0.0.1 ", "localhost.",
    "user@localhost",
    "127.0.0.1,evil.com", "evil.com#127.0.0.1", "127.0.0.1:123456", "localhost\tevil",
)  # fmt: skip
READS = (
    "/api/v1/batches", "/api/v1/batches/night", "/api/v1/batches/night/curves?jobs=0", "/api/v1/batches/night/jobs/0",
    "/api/v1/batches/night/jobs/0/log/combined.log", "/api/v1/batches/night/jobs/0/log/combined.log/search?q=line",
    "/api/v1/batches/night/jobs/0/attempts", "/api/v1/batches/night/jobs/0/resources", "/api/v1/orders/1",
    "/api/v1/batches/night/sparks?jobs=0&key=val/loss",
)  # fmt: skip
#: What an order of another page looks like: headers that differ from those of ours.
FORGED: tuple[dict[str, str | None], ...] = (
    {"origin": None}, {"origin": "null"}, {"origin": "http://evil.com"}, {"origin": "https://127.0.0.1:8080"},
    {"origin": "http://127.0.0.1"}, {"origin": "http://127.0.0.1:8081"}, {"origin": "http://localhost:8080"},
    {"origin": "http://127.0.0.1:8080.evil.com"}, {"origin": "http://127.0.0.1:8080/"}, {"origin": ""},
    {"x-runner": None}, {"x-runner": "0"}, {"x-runner": ""}, {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "none"}, {"sec-fetch-site": "SAME-ORIGIN"},
    {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"},
    {"content-type": "multipart/form-data"}, {"content-type": ""}, {"content-type": "text/plain; application/json"},
    {"content-length": "999999"}, {"content-length": "-1"}, {"content-length": "x"}, {"content-length": "9" * 20},
)  # fmt: skip
PATHS = (
    "/assets/../security.py", "/assets/..%2fsecurity.py", "/assets/%2e%2e/app.py", "/assets/VENDOR.json", "/assets/",
    "/assets/uplot.LICENSE", "/assets/0/main.js",
    "/etc/passwd", "//etc/passwd", "/api/v1/batches/..", "/api/v1/batches/%2e%2e",
    "/api/v1/batches/../secret", "/api/v1/batches/..%2fsecret", "/api/v1/batches/night%2f..%2f..%2fsecret",
    "/api/v1/batches/night%00", "/api/v1/batches/%2fetc", "/api/v1/batches/night/jobs/-1",
    "/api/v1/batches/night/jobs/99",
    "/api/v1/batches/night/jobs/9999999999999999999999", "/api/v1/batches/night/jobs/a",
    "/api/v1/batches/night/jobs/0x0",
    "/api/v1/batches/night/jobs/0/log/metrics.jsonl", "/api/v1/batches/night/jobs/0/log/..%2f..%2fplan.json",
    "/api/v1/batches/night/jobs/0/log/%2e%2e", "/api/v1/batches/night/jobs/0/log/combined.log%00",
    "/api/v1/batches/night/jobs/0/log/combined.log%2f", "/api/v1/batches/night/jobs/0/log/.%2fcombined.log",
    "/api/v1/batches/night/jobs/0/log/experiment_result.json", "/api/v1/batches/night/jobs/0/log/stderr.log",
    "/api/v1/batches/secret", "/api/v1/orders/0", "/api/v1/orders/-1", "/openapi.json", "/docs",
)  # fmt: skip
JSON = {"content-type": "application/json"}
SECRET = "canary-of-the-test"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    root = batch(folder / "experiments")
    (folder / "secret").mkdir()
    (folder / "secret" / "plan.json").write_text(SECRET)
    (root / "a" / "stderr.log").symlink_to(folder / "secret" / "plan.json")
    return folder / "experiments"


@pytest.fixture(scope="module")
def browser(base: Path) -> TestClient:
    return client(source(base))


@pytest.mark.parametrize("host", HOSTS)
def test_another_host_gets_nothing(browser: TestClient, host: str) -> None:
    for path in ("/", READS[0]):
        answer = browser.get(path, headers={"host": host})
        assert (answer.status_code, answer.content) == (421, b"")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST:65535", "[::1]:8080", "127.0.0.1:31000"])
def test_each_name_of_this_machine_is_known_with_any_port(browser: TestClient, host: str) -> None:
    assert browser.get("/", headers={"host": host}).status_code == 200


def test_two_hosts_are_none(browser: TestClient) -> None:
    assert browser.get("/", headers=[("host", HOST), ("host", "evil.com")]).status_code == 421


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("cookie", ["", "runner_8080=", "runner_8080=wrong", "runner_8080=ü", f"runner_8080={TOKEN}",
                                    "runner_8081=x", '"', "a=b;" * 500])  # fmt: skip
def test_nothing_of_a_batch_is_shown_without_the_cookie(base: Path, path: str, cookie: str) -> None:
    stranger = client(source(base), known=False)
    answer = stranger.get(path, headers=[("cookie", cookie.encode())])
    assert (answer.status_code, answer.content) == (401, b"")
    assert stranger.get(f"{path}?t={TOKEN}").status_code == 401


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_an_order_of_another_page_is_refused(base: Path, forged: dict[str, str | None]) -> None:
    browser = client(source(base))
    headers = {**ORIGIN, **JSON} | forged
    sent = {name: value for name, value in headers.items() if value is not None}
    for path in ("/api/v1/batches/night/orders", "/login"):
        answer = browser.post(path, content=b'{"what": "stop", "jobs": [], "key": "12345678"}', headers=sent)
        assert (answer.status_code, answer.content) == (403, b"")
    assert "From the page" not in _master_log(base)


def _master_log(base: Path) -> str:
    path = base / "night" / "master_log.txt"
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_another_file(browser: TestClient, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code in (404, 405)
    assert SECRET not in answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST"])
@pytest.mark.parametrize("path", ["/", READS[0], READS[3]])
def test_other_methods_do_nothing(browser: TestClient, method: str, path: str) -> None:
    sent = {"access-control-request-method": "POST", "origin": "http://evil.com"}
    answer = browser.request(method, path, headers=sent)
    assert answer.status_code == 403
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_tokens_cannot_be_tried_one_after_another(base: Path) -> None:
    browser = client(source(base), known=False)
    wrong: list[Any] = [None, "", "x", 1, [], {}, TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é"]
    codes = [browser.post("/login", json={"token": token}, headers=ORIGIN).status_code for token in wrong]
    assert codes == [403] * MOST_WRONG
    assert browser.post("/login", json={"token": TOKEN}, headers=ORIGIN).status_code == 429
    assert browser.post("/login", content=b"[" * 5000, headers=ORIGIN | JSON).status_code == 429


def test_a_token_that_is_no_text_is_wrong(base: Path) -> None:
    stranger = client(source(base), known=False)
    for body in (b'{"token": "\\ud800"}', b'{"token": 3}', b'{"token": null}', b"[", b"\xff"):
        answer = stranger.post("/login", content=body, headers={**ORIGIN, **JSON})
        assert (answer.status_code, answer.content) == (403, b"")


def test_the_cookie_is_for_this_port_and_for_no_script(base: Path) -> None:
    browser = client(source(base), known=False)
    given = browser.post("/login", json={"token": TOKEN}, headers=ORIGIN).headers["set-cookie"]
    assert given.startswith("runner_8080=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in given.split(";")}
    assert TOKEN not in given


@pytest.mark.parametrize("path", ["/", "/assets/main.js", READS[0], "/none"])
def test_every_answer_has_the_headers(browser: TestClient, path: str) -> None:
    headers = browser.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "require-trusted-types-for 'script'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if path in ("/", "/assets/main.js") else "no-store")
    assert not any(name.startswith("access-control") for name in headers)


def test_a_page_that_only_reads_has_no_orders(base: Path) -> None:
    browser = client(source(base, read_only=True))
    order = {"what": "stop", "jobs": [0], "key": "12345678"}
    assert browser.post("/api/v1/batches/night/orders", json=order, headers=ORIGIN).status_code == 404


@pytest.mark.parametrize("name", sorted(assets.names()))
def test_text_reaches_the_page_as_text_only(name: str) -> None:
    source = (assets.FOLDER / name).read_text()
    ways = "innerHTML outerHTML insertAdjacentHTML document.write eval( Function( javascript: createContextualFragment"
    for way in ways.split() if not name.startswith("uplot") else ways.split()[:5]:
        assert way not in source
    if name.endswith(".html"):
        assert " style=" not in source and " onclick=" not in source
