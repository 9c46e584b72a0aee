"""Attacks on a real server through sockets: odd and huge requests, slow clients, other files, other listeners.

With those of test_security.py they are counted by the last test of this file; none may get anything of a batch.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from runner.page.app import Page
from runner.page.server import listen, listen_at
from tests.page import test_security
from tests.page.pages import TOKEN, batch, source

SECRET = b"canary-of-the-test"
BATCHES = "/api/v1/batches"
GOOD = "Host: 127.0.0.1:8080\r\n"
#: What a stranger sends, who has no cookie. None may get an answer of success but for the page itself.
STRANGE = {
    "nothing": b"\r\n\r\n",
    "not http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
    "no version": b"GET " + BATCHES.encode() + b"\r\n\r\n",
    "http 0.9": b"GET " + BATCHES.encode() + b" HTTP/0.9\r\n\r\n",
    "http 1.0 without a host": b"GET " + BATCHES.encode() + b" HTTP/1.0\r\n\r\n",
    "http 2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "h2c": f"GET {BATCHES} HTTP/1.1\r\n{GOOD}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n".encode(),
    "websocket": f"GET {BATCHES} HTTP/1.1\r\n{GOOD}Connection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode(),
    "connect": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n",
    "absolute address": f"GET http://evil.com{BATCHES} HTTP/1.1\r\nHost: evil.com\r\n\r\n".encode(),
    "absolute address, our host": f"GET http://evil.com{BATCHES} HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "asterisk": f"OPTIONS * HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "two hosts": f"GET {BATCHES} HTTP/1.1\r\n{GOOD}Host: evil.com\r\n\r\n".encode(),
    "host with a space": f"GET {BATCHES} HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n".encode(),
    "folded host": f"GET {BATCHES} HTTP/1.1\r\nHost:\r\n 127.0.0.1\r\n\r\n".encode(),
    "empty host": f"GET {BATCHES} HTTP/1.1\r\nHost:\r\n\r\n".encode(),
    "forwarded host": f"GET {BATCHES} HTTP/1.1\r\nHost: evil.com\r\nX-Forwarded-Host: 127.0.0.1\r\n\r\n".encode(),
    "forwarded for": f"GET {BATCHES} HTTP/1.1\r\n{GOOD}X-Forwarded-For: 127.0.0.1\r\n\r\n".encode(),
    "another method by header": f"GET {BATCHES} HTTP/1.1\r\n{GOOD}X-HTTP-Method-Override: POST\r\n\r\n".encode(),
    "another address by header": f"GET / HTTP/1.1\r\nHost: evil.com\r\nX-Original-URL: {BATCHES}\r\n\r\n".encode(),
    "two lengths": f"POST /login HTTP/1.1\r\n{GOOD}Content-Length: 2\r\nContent-Length: 9\r\n\r\n{{}}".encode(),
    "length and chunks": f"POST /login HTTP/1.1\r\n{GOOD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
                         f"0\r\n\r\nGET {BATCHES} HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "chunks only": f"POST /login HTTP/1.1\r\n{GOOD}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n".encode(),
    "odd encoding": f"POST /login HTTP/1.1\r\n{GOOD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n".encode(),
    "negative length": f"POST /login HTTP/1.1\r\n{GOOD}Content-Length: -5\r\n\r\n".encode(),
    "huge length": f"POST /login HTTP/1.1\r\n{GOOD}Content-Length: 99999999999999\r\n\r\n".encode(),
    "long address": f"GET /{'a' * 100_000} HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "long header": f"GET {BATCHES} HTTP/1.1\r\n{GOOD}X: {'a' * 100_000}\r\n\r\n".encode(),
    "many headers": f"GET {BATCHES} HTTP/1.1\r\n{GOOD}".encode() + b"X: 1\r\n" * 9000 + b"\r\n",
    "line feeds only": f"GET {BATCHES} HTTP/1.1\nHost: 127.0.0.1\nCookie: runner_8080=\n\n".encode(),
    "zero in a header": f"GET {BATCHES} HTTP/1.1\r\n{GOOD}Cookie: runner_8080=\0\r\n\r\n".encode(),
    "zero in the address": f"GET {BATCHES}\0 HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "token in the address": f"GET {BATCHES}?t={TOKEN} HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "token as bearer": f"GET {BATCHES} HTTP/1.1\r\n{GOOD}Authorization: Bearer {TOKEN}\r\n\r\n".encode(),
    "token as cookie": f"GET {BATCHES} HTTP/1.1\r\n{GOOD}Cookie: runner_8080={TOKEN}\r\n\r\n".encode(),
    "many cookies": f"GET {BATCHES} HTTP/1.1\r\n{GOOD}Cookie: {'runner_8080=x; ' * 500}\r\n\r\n".encode(),
    "cookie attributes": f"GET {BATCHES} HTTP/1.1\r\n{GOOD}Cookie: $Version=1; runner_8080=\"\"; $Path=/\r\n\r\n"
                         "".encode(),
    "second request behind the first": f"GET / HTTP/1.1\r\n{GOOD}\r\nGET {BATCHES} HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "events without a cookie": f"GET /api/v1/events?topic=batch:night HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "events of a log": f"GET /api/v1/events?topic=log:night:0:combined.log HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "gpus": f"GET /api/v1/gpus HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "a file": f"GET {BATCHES}/night/jobs/0/files/note.txt HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "comparison": f"GET {BATCHES}/night/compare HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "fan": f"GET {BATCHES}/night/fan HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "head": f"HEAD {BATCHES}/night/jobs/0/files/note.txt HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "double slash": f"GET //api/v1/batches HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "dots to the api": f"GET /assets/../api/v1/batches HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "dots, encoded": f"GET /assets/%2e%2e/api/v1/batches HTTP/1.1\r\n{GOOD}\r\n".encode(),
    "login dot": f"GET /login/../api/v1/batches HTTP/1.1\r\n{GOOD}\r\n".encode(),
}  # fmt: skip
#: Of one who has the cookie: names of files that are not in the list of the job.
FILES = (
    "../../secret/plan.json", "..%2f..%2fsecret%2fplan.json", "%2e%2e/%2e%2e/secret/plan.json", "link", "link/x",
    "folder/plan.json", "/etc/passwd", "%2fetc%2fpasswd", "note.txt%00", "note.txt/", "./note.txt", "sub/../note.txt",
    "NOTE.TXT", "pipe", "", ".", "..", "%ff%fe", "a" * 5000, "sub", "note.txt%2f..%2f..%2f..%2fsecret%2fplan.json",
    "attempt_1/../../../secret/plan.json", "\\..\\..\\secret\\plan.json", "file:///etc/passwd", "outside",
)  # fmt: skip
TOPICS = ("batch:../secret", "log:night:0:../../secret/plan.json", "log:../secret:0:combined.log",
          "log:night:0:plan.json", "batch:night/../../secret", "log:night:0:stderr.log/../note.txt")  # fmt: skip


class Served:
    """A page in a thread, and what a client needs."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.listening = listen(0)
        self.port = self.listening.getsockname()[1]
        self.page = Page(source(base), TOKEN, self.port)
        config = uvicorn.Config(self.page.app, log_level="critical", lifespan="off", ws="none", limit_concurrency=64,
                                h11_max_incomplete_event_size=1 << 15)  # fmt: skip
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]}, daemon=True)
        self.thread.start()
        origin = {"Origin": f"http://127.0.0.1:{self.port}", "Content-Type": "application/json", "X-Runner": "1"}
        _, headers, _ = self.ask("POST", "/login", json.dumps({"token": TOKEN}), origin)
        self.cookie = {"Cookie": headers["set-cookie"].partition(";")[0]}

    def ask(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body.encode() if body is not None else None)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def raw(self, sent: bytes) -> bytes:
        """All that comes back until the other side closes, or nothing more does."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as client:
            found = b""
            try:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                while block := client.recv(1 << 16):
                    found += block
            except OSError:
                pass
            return found

    def close(self) -> None:
        self.page.close()
        self.server.should_exit = True
        self.thread.join(30)
        self.listening.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("attacked")
    root = batch(folder / "experiments")
    (folder / "secret").mkdir()
    (folder / "secret" / "plan.json").write_bytes(SECRET)
    job = root / "a"
    (job / "note.txt").write_text("a note of the job")
    (job / "sub").mkdir()
    (job / "link").symlink_to(folder / "secret" / "plan.json")
    (job / "folder").symlink_to(folder / "secret")
    os.mkfifo(job / "pipe")
    made = Served(folder / "experiments")
    yield made
    made.close()


@pytest.mark.parametrize("name", STRANGE)
def test_a_stranger_gets_nothing(served: Served, name: str) -> None:
    found = served.raw(STRANGE[name].replace(b"8080", str(served.port).encode()))
    assert b'"night"' not in found and b"a note" not in found and SECRET not in found
    first = found.partition(b"\r\n")[0]
    page_itself = name == "second request behind the first"
    assert not found or page_itself or first.split()[1][:1] in (b"4", b"5"), first
    assert b"From the page" not in _log(served)


@pytest.mark.parametrize("name", FILES)
def test_no_name_leads_to_another_file(served: Served, name: str) -> None:
    path = f"{BATCHES}/night/jobs/0/files/{name}"
    found = served.raw(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {served.cookie['Cookie']}\r\n\r\n".encode())
    assert SECRET not in found and b"root:" not in found
    status = found.split()[1] if found else b"400"
    assert status in (b"404", b"400") or (not name and status == b"200" and b'"files"' in found), found[:200]


@pytest.mark.parametrize("topic", TOPICS)
def test_no_topic_leads_to_another_file(served: Served, topic: str) -> None:
    status, _, content = served.ask("GET", f"/api/v1/events?topic={topic}", None, served.cookie)
    assert status == 404 and SECRET not in content


def test_a_file_runs_nothing_and_a_part_of_it_can_be_asked_for(served: Served) -> None:
    path = f"{BATCHES}/night/jobs/0/files/note.txt"
    status, headers, content = served.ask("GET", path, None, served.cookie)
    assert (status, content) == (200, b"a note of the job")
    assert "sandbox" in headers["content-security-policy"] and headers["content-type"].startswith("text/plain")
    for wanted, part in (("bytes=2-5", b"note"), ("bytes=12-", b"e job"), ("bytes=0-999", b"a note of the job")):
        status, headers, content = served.ask("GET", path, None, {**served.cookie, "Range": wanted})
        assert (status, content) == (206, part) and headers["content-range"].endswith("/17")
    for wanted in ("bytes=-5", "bytes=9-2", "bytes=99-", "bytes=0-1,3-4", "lines=1-2", "bytes=" + "9" * 40 + "-"):
        assert served.ask("GET", path, None, {**served.cookie, "Range": wanted})[0] == 200


def test_slow_clients_keep_nobody_else_waiting(served: Served) -> None:
    slow = [socket.create_connection(("127.0.0.1", served.port), timeout=60) for _ in range(40)]
    try:
        for number, client in enumerate(slow):
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0" if number % 2 else b"POST /login HTTP/1.1\r\nX: ")
        assert served.ask("GET", BATCHES, None, served.cookie)[0] == 200
    finally:
        for client in slow:
            client.close()


def test_one_who_reads_nothing_does_not_fill_the_memory(served: Served) -> None:
    """Streams are bounded in number, and what is sent is not kept for one of them."""
    request = f"GET /api/v1/events?topic=list HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {served.cookie['Cookie']}\r\n\r\n"
    idle = [socket.create_connection(("127.0.0.1", served.port), timeout=60) for _ in range(30)]
    try:
        answers = []
        for client in idle:
            client.sendall(request.encode())
            answers.append(client.recv(12))
        assert answers.count(b"HTTP/1.1 200") == 24 and answers.count(b"HTTP/1.1 503") == 6
        assert served.ask("GET", BATCHES, None, served.cookie)[0] == 200
    finally:
        for client in idle:
            client.close()


def test_a_socket_is_for_its_user_only(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listening = listen_at(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(Exception, match="Address already in use"):
        listen_at(path)
    listening.close()
    listen_at(path).close()  # nobody listens to it any more
    (tmp_path / "file").write_text("kept")
    with pytest.raises(Exception, match="--socket"):
        listen_at(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"
    with pytest.raises(Exception, match=r"--socket .*: cannot be used \(AF_UNIX path too long\)"):
        listen_at(tmp_path / ("x" * 200))


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.0.1", "gpu1", "127.0.0.2", "*"])
def test_no_other_address_is_listened_to(host: str) -> None:
    with pytest.raises(Exception, match=r"ssh -L 8080:127\.0\.0\.1:8080"):
        listen(8080, host)
    with pytest.raises(Exception, match=r"ssh -L PORT:127\.0\.0\.1:PORT .*, with the port of the page"):
        listen(0, host)


def test_there_are_at_least_a_hundred_attacks(capsys: pytest.CaptureFixture[str]) -> None:
    counted = {
        "odd and huge requests": len(STRANGE), "names of files": len(FILES), "topics": len(TOPICS), "slow clients": 70,
        "other hosts": 2 * len(test_security.HOSTS), "other cookies": 8 * len(test_security.READS),
        "orders of other pages": 2 * len(test_security.FORGED), "paths": len(test_security.PATHS),
    }  # fmt: skip
    with capsys.disabled():
        print(f"\n{sum(counted.values())} attacks ({', '.join(f'{n} {what}' for what, n in counted.items())}), "
              "0 may succeed")  # fmt: skip
    assert sum(counted.values()) - counted["slow clients"] >= 100


def _log(served: Served) -> bytes:
    path = served.base / "night" / "master_log.txt"
    return path.read_bytes() if path.exists() else b""
