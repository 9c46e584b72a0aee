"""The settings of the channels: from the environment, and from a file that nobody else can read. They are secrets."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.core.errors import UserError, did_you_mean
from runner.core.text import plain
from runner.disk import reading
from runner.notify.registry import CHANNELS, Channel

PREFIX, FILE = "OVERNIGHT", "OVERNIGHT_NOTIFY_FILE"
KIND = "kind"
MESSAGES = "messages"  # the section that is not one of a channel
OPEN = ("host", "port", "security", "server", "to", "from", "osc", "report")  # settings that may be shown
LEAST_HIDDEN = 4  # letters of a setting that is replaced in what is said about an error


@dataclass(frozen=True, slots=True)
class Named:
    """A channel with its name, its kind, and the texts that must not be shown."""

    name: str
    kind: str
    channel: Channel
    secrets: tuple[str, ...] = ()

    def hidden(self, text: str) -> str:
        """A text without the settings of the channel."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def path() -> Path:
    """The file of the settings."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(os.environ.get(FILE) or f"{base}/overnight/notify.toml").expanduser()


def channels(names: Sequence[str]) -> list[Named]:
    """The channels with these names. Raises UserError with every error in their settings."""
    sections = in_file()
    found: list[Named] = []
    errors: list[str] = []
    for name in dict.fromkeys(names):
        try:
            found.append(_channel(name, sections))
        except UserError as error:
            errors += error.problems
    if errors:
        raise UserError(*errors)
    return found


def problems(names: Sequence[str]) -> list[str]:
    """What is wrong with the settings of these channels."""
    try:
        channels(names)
    except UserError as error:
        return list(error.problems)
    return []


def configured() -> list[str]:
    """The names of channels that have settings. Raises UserError."""
    kinds = [name for name in CHANNELS.local_names() if of_environment(name, ("topic", "url", "to", "run"))]
    return [name for name in dict.fromkeys([*in_file(), *kinds]) if name != MESSAGES]


def in_file() -> dict[str, dict[str, str]]:
    """The sections of the file; none without a file. Raises UserError."""
    file = path()
    try:
        with reading.open_regular(file, links=True) as opened:
            found = os.fstat(opened.fileno())
            if found.st_uid not in (os.getuid(), 0):
                raise UserError(f"{file}: belongs to another user; use a file of your own")
            if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise UserError(f"{file}: others can read it, and it contains secrets; run: chmod 600 {file}")
            record = tomllib.loads(opened.read(reading.LARGEST).decode())
    except FileNotFoundError:
        return {}
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are such; neither shows more than a place
        place = re.search(r"\(at (line \d+)[^)]*\)", str(error))
        raise UserError(f"{file}: is not TOML ({place[1] if place else 'not UTF-8'}); correct it") from None
    return {name: _section(file, name, section) for name, section in record.items()}


def _section(file: Path, name: str, section: object) -> dict[str, str]:
    if not isinstance(section, dict) or not all(isinstance(it, str | int) for it in section.values()):
        fix = f'write it as [{plain(name)}] with lines such as topic = "…"'
        raise UserError(f"{file}: {plain(name)} is not a section of texts; {fix}")
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in section.items()}


def _channel(name: str, sections: Mapping[str, Mapping[str, str]]) -> Named:
    section = dict(sections.get(name, {}))
    kind = section.pop(KIND, name)
    if kind not in CHANNELS.names():
        known = [*CHANNELS.names(), *(one for one in sections if one != MESSAGES)]
        hint = did_you_mean(name, known) or f"there are {', '.join(dict.fromkeys(known))}"
        raise UserError(f"--notify {plain(name)}: unknown channel; {hint}")
    make = CHANNELS.get(kind)
    known = [*make.REQUIRED, *make.OPTIONAL]
    values = {**section, **of_environment(name, known)}
    errors = list(_errors(name, values, make, section))
    if not errors:
        channel = make(values)
        errors = [f"--notify {name}: {key and key + ' '}{wrong}" for key, wrong in channel.problems()]
    if errors:
        raise UserError(*errors)
    secrets = tuple(value for key, value in values.items() if len(value) >= LEAST_HIDDEN and key not in OPEN)
    return Named(name, kind, channel, secrets)


def _errors(name: str, values: Mapping[str, str], make: type[Channel], section: Mapping[str, str]) -> Iterator[str]:
    known = [*make.REQUIRED, *make.OPTIONAL]
    for key in section:
        if key not in known:
            hint = did_you_mean(key, known) or f"there are {', '.join(known) or 'none'}"
            yield f"{path()}: [{name}] {plain(key)}: unknown key; {hint}"
    for key in make.REQUIRED:
        if not values.get(key):
            yield f"--notify {name}: {key} is missing; set {place(name, key)}"


def place(name: str, key: str) -> str:
    """Where a setting can be: `OVERNIGHT_NTFY_TOPIC, or topic under [ntfy] in FILE`"""
    return f"{_variable(name, key)}, or {key} under [{name}] in {path()}"


def of_environment(name: str, keys: Sequence[str]) -> dict[str, str]:
    """The settings of a channel that the environment has."""
    return {key: text for key in keys if (text := os.environ.get(_variable(name, key)))}


def _variable(name: str, key: str) -> str:
    return re.sub(r"\W", "_", f"{PREFIX}_{name}_{key}").upper()
