"""Settings of channels: every error at once, with its place and its fix, and never with the setting itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.core.errors import UserError
from runner.notify import settings


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "notify.toml"
    monkeypatch.setenv("OVERNIGHT_NOTIFY_FILE", str(path))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return path


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def test_settings_come_from_the_file_or_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(file, '[phone]\nkind = "ntfy"\ntopic = "a-topic-of-mine"\n[slack]\nurl = "https://hooks.example/x"\n')
    monkeypatch.setenv("OVERNIGHT_WEBHOOK_URL", "https://other.example/y")
    assert settings.configured() == ["phone", "slack", "webhook"]
    phone, slack, webhook = settings.channels(["phone", "slack", "webhook"])
    assert (phone.kind, slack.kind, webhook.kind) == ("ntfy", "slack", "webhook")
    assert phone.hidden("no topic a-topic-of-mine there") == "no topic *** there"


def test_every_error_is_found_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mail = '[mail]\nto = "nobody"\nhost = "mail.example"\nsecurity = "none"\n'
    write(file, f'[phone]\nkind = "ntfy"\ntopik = "x"\n{mail}')
    monkeypatch.setenv("OVERNIGHT_SLACK_URL", "http://hooks.example/secret-part")
    found = settings.problems(["phone", "mail", "slack", "ntfi", "desktop", "webhook"])
    text = "\n".join(found)
    for part in ("[phone] topik: unknown key; did you mean 'topic'?", "--notify phone: topic is missing",
                 "--notify mail: to is not a mail address", "security none is for a mail server on this machine",
                 "--notify slack: url is not encrypted; use https",
                 "--notify ntfi: unknown channel; did you mean 'ntfy'?", "no desktop to show it on; use ntfy",
                 "set OVERNIGHT_WEBHOOK_URL, or url under [webhook]"):  # fmt: skip
        assert part in text, text
    assert "secret-part" not in text


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_can_read_is_refused(file: Path, mode: int) -> None:
    write(file, '[ntfy]\ntopic = "x"\n', mode)
    with pytest.raises(UserError, match=r"others can read it.*chmod 600"):
        settings.channels(["ntfy"])


@pytest.mark.parametrize("text", ["[ntfy\nsecret", "ntfy = 'secret'", "[ntfy]\ntopic = ['secret']"])
def test_a_file_that_is_odd_is_one_sentence_without_its_content(file: Path, text: str) -> None:
    write(file, text)
    (found,) = settings.problems(["ntfy"])
    assert str(file) in found and "secret" not in found


@pytest.mark.parametrize(
    ("url", "cause"),
    [("https://u:p@h.example/x", "contains a user name"), ("ftp://h.example", "is not an address"),
     ("https://h.example/\r\nX: y", "is not an address"), ("https:///x", "is not an address"),
     ("http://10.0.0.1/x", "is not encrypted"), ("https://[::1", "is not an address")],
)  # fmt: skip
def test_an_address_that_cannot_be_used(file: Path, monkeypatch: pytest.MonkeyPatch, url: str, cause: str) -> None:
    monkeypatch.setenv("OVERNIGHT_WEBHOOK_URL", url)
    (found,) = settings.problems(["webhook"])
    assert cause in found and "h.example" not in found


def test_a_program_that_does_not_exist(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERNIGHT_COMMAND_RUN", "/no/such/program --x")
    assert "names no program" in settings.problems(["command"])[0]
    monkeypatch.setenv("OVERNIGHT_COMMAND_RUN", "sh -c 'x")
    assert "is not a command line" in settings.problems(["command"])[0]
