"""What each channel sends, and what it says when that fails, with servers that answer in every way."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from email import message_from_string, policy
from pathlib import Path

import pytest

from runner.core.errors import UserError
from runner.notify import delivery
from runner.notify.bell import Bell
from runner.notify.delivery import Outbox
from runner.notify.message import FAILED, Event, Message, compose
from runner.notify.registry import NotSent
from runner.notify.settings import Named, channels
from tests.notify.servers import Receiver, mail_server, receiver, status

ODD = "a<b>&\r\nX-Evil: 1 <!channel> @here ü"
MESSAGE = compose("night\r\nSubject: x", "/data/night", [Event(FAILED, "failed:a:1", f"{ODD}: failed")])


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.01)
    monkeypatch.setenv("OVERNIGHT_NOTIFY_FILE", str(tmp_path / "none.toml"))
    monkeypatch.setenv("TERM", "xterm")


def sent(name: str, patience: float = 20.0, close: float = 60.0, message: Message = MESSAGE) -> str | None:
    """Deliver a message; why it was not sent."""
    found: list[str | None] = []
    outbox = Outbox(channels([name]), lambda _channel, _message, error: found.append(error), patience)
    outbox.put(message)
    assert outbox.close(close) and len(found) == 1
    return found[0]


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> object:
    def to(server: Receiver) -> None:
        monkeypatch.setenv("OVERNIGHT_WEBHOOK_URL", server.url)
        monkeypatch.setenv("OVERNIGHT_SLACK_URL", server.url)
        monkeypatch.setenv("OVERNIGHT_NTFY_SERVER", server.url)
        monkeypatch.setenv("OVERNIGHT_NTFY_TOPIC", "my-topic")
        monkeypatch.setenv("OVERNIGHT_NTFY_TOKEN", "tk_secret")

    return to


def test_what_is_posted(web, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # of no use for this machine
    with receiver() as server:
        web(server)
        assert [sent(name) for name in ("ntfy", "slack", "webhook")] == [None, None, None]
    ntfy, slack, webhook = server.posted
    assert (ntfy["topic"], ntfy["priority"]) == ("my-topic", 4) and "X-Evil: 1" in ntfy["message"]
    assert "\n" not in ntfy["title"] and server.headers[0]["Authorization"] == "Bearer tk_secret"
    assert "&lt;!channel&gt;" in slack["text"] and "@here" not in slack["text"] and "a&lt;b&gt;&amp;" in slack["text"]
    assert webhook["event"] == "failed" and webhook["batch"] == "night  Subject: x" and len(webhook["failed"]) == 1
    assert not any("X-Evil" in name for headers in server.headers for name in headers)


def test_what_passes_is_tried_again(web) -> None:  # type: ignore[no-untyped-def]
    with receiver(status(500), status(429, Retry_After="0"), status(204)) as server:
        web(server)
        assert sent("webhook") is None
    assert len(server.posted) == 3


def test_a_wait_that_is_asked_for_is_obeyed(web) -> None:  # type: ignore[no-untyped-def]
    with receiver(status(429, Retry_After="1"), status(200)) as server:
        web(server)
        assert sent("webhook") is None
    first, second = server.times
    assert second - first >= 1.0


@pytest.mark.parametrize(
    ("code", "cause", "tries"),
    [(500, "it answered 500", 3), (401, "check its token", 1), (404, "check its address", 1),
     (302, "a redirect, which is not followed", 1), (307, "a redirect, which is not followed", 1)],
)  # fmt: skip
def test_what_is_refused(web, code: int, cause: str, tries: int) -> None:  # type: ignore[no-untyped-def]
    with receiver() as other, receiver(status(code, Location=other.url)) as server:
        web(server)
        error = sent("webhook")
        assert error is not None and cause in error and "hook-of-mine" not in error
        assert len(server.posted) == tries and other.posted == []


@pytest.mark.parametrize("how", ["never", "slowly", "garbage"])
def test_a_server_that_does_not_answer_takes_a_limited_time(web, how: str) -> None:  # type: ignore[no-untyped-def]
    with receiver() as server:
        server.answers = [getattr(server, how)]
        web(server)
        error = sent("webhook", patience=0.3)
    assert error is not None and len(server.posted) == (3 if how != "slowly" else len(server.posted))


def test_one_that_asks_for_a_long_wait_does_not_keep_the_end_back(web) -> None:  # type: ignore[no-untyped-def]
    with receiver(status(429, Retry_After="3000")) as server:
        web(server)
        error = sent("webhook")
    assert error is not None and "asks to wait for 3000 s" in error and len(server.posted) == 1


def test_a_channel_that_fails_does_not_keep_another_one_back(web) -> None:  # type: ignore[no-untyped-def]
    with receiver() as stuck, receiver() as good:
        stuck.answers = [stuck.never]
        web(good)
        slack = channels(["slack"])
        web(stuck)
        found: dict[str, str | None] = {}
        done = threading.Event()

        def report(channel: Named, _message: Message, error: str | None) -> None:
            found[channel.name] = error
            done.set()

        outbox = Outbox([*channels(["webhook"]), *slack], report, 20.0)
        outbox.put(MESSAGE)
        assert done.wait(15) and found == {"slack": None}
        outbox.close(0.0)


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as server:
        pass
    monkeypatch.setenv("OVERNIGHT_WEBHOOK_URL", server.url)
    error = sent("webhook")
    assert error is not None and "refused the connection; check the port" in error


def mail(monkeypatch: pytest.MonkeyPatch, port: int, **more: str) -> None:
    given = {"to": "me@lab.example", "host": "127.0.0.1", "port": str(port), "security": "none", **more}
    for key, text in given.items():
        monkeypatch.setenv(f"OVERNIGHT_MAIL_{key.upper()}", text)


def test_a_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    with mail_server() as server:
        mail(monkeypatch, server.port, user="me", password="pass-word")
        assert sent("mail") is None
    parsed = message_from_string(server.mails[0], policy=policy.default)
    assert parsed["To"] == "me@lab.example" and "X-Evil" not in parsed
    assert parsed["Subject"].startswith("✗ night  Subject: x:") and "\n" not in parsed["Subject"]
    assert "X-Evil: 1" in parsed.get_content()


@pytest.mark.parametrize(
    ("answers", "more", "cause"),
    [({"AUTH": "535 no"}, {"user": "me", "password": "pass-word"}, "refused the login (535); check user and password"),
     ({}, {"security": "starttls"}, "does not offer what is needed on port"),
     ({"RCPT": "550 who?"}, {}, "refused the recipient; check to"),
     ({"GREETING": ""}, {}, "closed the connection"), ({"GREETING": "HTTP/1.1 400"}, {}, "127.0.0.1"),
     ({"MAIL": "451 later"}, {}, "answered 451"), ({}, {"security": "tls"}, "no secure connection to 127.0.0.1")],
)  # fmt: skip
def test_a_mail_that_is_refused(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, str], more: dict[str, str], cause: str
) -> None:
    with mail_server(**answers) as server:
        mail(monkeypatch, server.port, **more)
        error = sent("mail")
    assert error is not None and cause in error and "pass-word" not in error


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    monkeypatch.setenv("OVERNIGHT_COMMAND_RUN", f"{path} 'one word'")


def test_a_program_finds_the_message_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, f'echo "$1 $OVERNIGHT_EVENT $OVERNIGHT_FAILED $OVERNIGHT_TEXT" > {tmp_path}/out')
    assert sent("command") is None
    assert (tmp_path / "out").read_text().startswith("one word failed 1 - a<b>&  X-Evil: 1 <!channel>")


def test_a_program_that_fails_or_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, "echo no paper >&2; exit 3")
    assert sent("command") == "the program ended with 3: no paper"
    program(tmp_path, monkeypatch, "sleep 600")
    error = sent("command", patience=0.3)
    assert error is not None and ("did not end in" in error or "took longer" in error)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bell_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMUX", "TERM_PROGRAM", "LC_TERMINAL", "KITTY_WINDOW_ID"):
        monkeypatch.delenv(name, raising=False)
    screen = Screen()
    Bell({}).ring("a title", screen)
    assert screen.getvalue() == "\a"
    monkeypatch.setenv("TERM", "xterm-kitty")
    screen = Screen()
    Bell({}).ring("a\x1b]0;title\x07 b", screen)
    assert screen.getvalue() == "\x1b]9;a b\a\a"
    monkeypatch.setenv("TMUX", "/tmp/x")
    assert Bell({}).notification("t") == "\x1bPtmux;\x1b\x1b]9;t\a\x1b\\"
    with pytest.raises(NotSent, match="not a terminal"):
        Bell({}).ring("a title", io.StringIO())


def test_a_mail_can_carry_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    with mail_server() as server:
        mail(monkeypatch, server.port, report="true")
        assert sent("mail", message=replace(MESSAGE, report=b"<!doctype html><title>n\xc3\xa4chte</title>")) is None
    text, report = message_from_string(server.mails[0], policy=policy.default).iter_parts()
    assert "X-Evil: 1" in text.get_content() and text.get_content_type() == "text/plain"
    assert report.get_filename() == "report.html" and "n\u00e4chte" in report.get_content()


def test_apprise_delivers_to_its_own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("apprise")
    with receiver() as server:
        monkeypatch.setenv("OVERNIGHT_APPRISE_URL", server.url.replace("http://", "json://"))
        assert sent("apprise") is None
        assert server.posted[0]["type"] == "failure" and "X-Evil: 1" in server.posted[0]["message"]
    error = sent("apprise")
    assert error is not None and "Apprise could not deliver it" in error and "hook-of-mine" not in error
    monkeypatch.setenv("OVERNIGHT_APPRISE_URL", "nothing://at.all")
    with pytest.raises(UserError, match="url is not an address that Apprise knows"):
        channels(["apprise"])
