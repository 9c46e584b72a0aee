"""Servers on the loopback interface that answer as they are told: well, badly, slowly, or never."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, **headers: str) -> Answer:
    """An answer with this status."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, text in {"Content-Length": "0", **headers}.items():
            request.send_header(name.replace("_", "-"), text)
        request.end_headers()

    return answer


class Receiver:
    """Keeps what was posted to it. `answers` are used one after another, the last one again and again."""

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = answers
        self.posted: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.times: list[float] = []  # when, by the monotonic clock
        self.over = threading.Event()  # ends the answers that never come
        self.url = ""

    def take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        self.times.append(time.monotonic())
        self.headers.append(dict(request.headers))
        answer = self.answers[min(len(self.posted), len(self.answers) - 1)]
        self.posted.append(json.loads(body))
        answer(request)

    def never(self, request: BaseHTTPRequestHandler) -> None:
        self.over.wait(60)

    def slowly(self, request: BaseHTTPRequestHandler) -> None:
        """A byte now and then: each comes in time, the answer does not."""
        try:
            while not self.over.wait(0.05):
                request.wfile.write(b"H")
                request.wfile.flush()
        except OSError:
            pass

    def garbage(self, request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"\x00\xff no protocol\r\n\r\n")
        request.close_connection = True


@contextmanager
def receiver(*answers: Answer) -> Iterator[Receiver]:
    """A server for HTTP; by default it answers 200."""
    found = Receiver(list(answers) or [status(200)])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.take(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/hook-of-mine"
    try:
        yield found
    finally:
        found.over.set()
        server.shutdown()
        server.server_close()


#: What a mail server answers to a command.
USUAL = {"EHLO": "250-here\r\n250 AUTH PLAIN", "DATA": "354 go on", "AUTH": "235 welcome", "QUIT": "500 what?"}


class MailServer:
    """A server for SMTP. `answers` replaces those to a command, as `AUTH`; empty: it closes the connection."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.answers = answers
        self.mails: list[str] = []
        self.port = 0


@contextmanager
def mail_server(**answers: str) -> Iterator[MailServer]:
    found = MailServer(answers)

    class Handler(socketserver.StreamRequestHandler):
        def say(self, word: str, usual: str) -> bool:
            text = found.answers.get(word, usual)
            self.wfile.write(f"{text}\r\n".encode() if text else b"")
            return bool(text)

        def handle(self) -> None:
            if not self.say("GREETING", "220 here"):
                return
            for line in self.rfile:
                word = line.decode(errors="replace").split()[0].upper() if line.split() else ""
                if not self.say(word, USUAL.get(word, "250 ok")) or word == "QUIT":
                    return
                if word == "DATA":
                    lines = iter(self.rfile.readline, b".\r\n")
                    found.mails.append(b"".join(lines).decode())
                    self.say("", "250 taken")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    found.port = server.server_address[1]
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
