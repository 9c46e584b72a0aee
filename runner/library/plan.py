"""Configs of a decorated function -> a Plan: one job a config, `<name>-<hash>/` in the output folder. Pure."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.core import redact
from runner.core.canonical import NotCanonical, canonical, digest, home, typed
from runner.core.config import Config
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.library.cache import Key
from runner.library.hidden_form import hidden
from runner.library.identity import Identity
from runner.library.own_values import ChangedValue, OwnValues, plain_copy
from runner.planners.names import safe

KIND = PlanKind("calls", views=())
OPTIONS = RunOptions(max_same_failures=0)  # each call is asked for its result
ADDED = ("name", "out_dir")  # keys of a config that do not change the work


@dataclass(frozen=True, slots=True)
class Call:
    """A config as the report gets it, and the job that is its work. Equal configs of one name share a job."""

    name: str
    config: Any
    key: Key
    job: Job
    ignored: tuple[str, ...] = ()

    def own_values(self) -> OwnValues:
        """The config for one call of the function. Raises ChangedValue if it is not the one of the hash any more."""
        own = OwnValues(self.config)
        try:
            _, form = _read(own.config, self.name, self.ignored)
            unchanged = digest(canonical(form)) == self.key.digest
        except (NotCanonical, UserError):
            unchanged = False
        if not unchanged:
            raise ChangedValue(
                "the config is not what it was when configs() returned it: a value that it shares with other configs, "
                "or with the program, was changed in place; give each config a value of its own"
            )
        return own


@dataclass(frozen=True, slots=True)
class Request:
    """What all configs have in common. `argv` and `env` run the one with a given folder in a process of its own."""

    function: Callable[..., Any]
    root: Path
    code: str
    earlier_code: Callable[[], str] = lambda: ""
    version: str | None = None
    ignored: tuple[str, ...] = ()  # keys of configs that do not count; `optimizer.workers` is one in a section
    argv: tuple[str, ...] = ()
    env: Callable[[Path, str], Mapping[str, str]] = lambda folder, name: {}


def plan(configs: Iterable[Any], request: Request, created_at: str) -> tuple[Plan, list[Call]]:
    """The plan, and a call for each config in its order. Raises UserError with all errors."""
    problems: list[str] = []
    keys: list[tuple[Any, Key]] = []
    function = Identity.of(request.function, request.root)
    forms: dict[str, tuple[str, str]] = {}  # hash -> canonical text, and what has it
    for number, config in enumerate(configs):
        where = f"config {number + 1}"
        try:
            name, form = _read(config, request.function.__name__, request.ignored)
        except NotCanonical as error:
            problems.append(f"{where}, {error}")
            continue
        except UserError as error:
            problems += [f"{where}: {problem}" for problem in error.problems]
            continue
        text = canonical(form)
        hashed = digest(text)
        other, whose = forms.setdefault(hashed, (text, f"{where} ({name})"))
        if other != text:
            problems.append(f"{where} ({name}) and {whose} differ and have one hash, {hashed}; add a key to one")
        if redact.may_hold(text):
            form = hidden(form)
            text = canonical(form)
        key = Key(name, hashed, form, text, function, request.code, request.version, request.earlier_code)
        keys.append((plain_copy(config), key))
    if problems:
        raise UserError(*problems)
    calls = _calls(keys, request)
    jobs = {call.job.name: call.job for call in calls}
    return Plan(request.function.__name__, request.root, tuple(jobs.values()), KIND, created_at, options=OPTIONS), calls


def _read(config: Any, function: str, ignored: tuple[str, ...]) -> tuple[str, Any]:
    """The name of a config, and the typed form of what its work depends on: all but the keys that are ignored."""
    if isinstance(config, Mapping):
        entries: dict[Any, Any] = dict(config)
    elif dataclasses.is_dataclass(config) and not isinstance(config, type):
        entries = {field.name: getattr(config, field.name, None) for field in dataclasses.fields(config)}
    else:
        raise UserError(f"is a {type(config).__name__}; a config is a dict, a Config or a dataclass")
    name = entries.get("name", function)
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"its name is {name!r}; a name is text, and names a folder")
    if not _is_text(name):
        raise UserError(f"its name is {name!r}, which holds half a character; a name is text, and names a folder")
    form = typed({key: value for key, value in entries.items() if key not in ADDED and key not in ignored})
    for key in ignored:
        form = _without(form, key.split("."))
    return name, form if isinstance(config, Mapping) else {"$dataclass": [home(type(config)), form]}


def _is_text(name: str) -> bool:
    try:
        name.encode(errors="surrogateescape")  # bytes of a file name that are no text are allowed
    except UnicodeEncodeError:
        return False
    return True


def _without(form: Any, path: list[str]) -> Any:
    """A typed form without the entry at `optimizer.workers`; the same one if there is none."""
    if not isinstance(form, dict):
        return form
    kind, inner = form.get("$dataclass", (None, form))
    key, *below = path
    if key in inner:
        inner = {**inner, key: _without(inner[key], below)} if below else {k: v for k, v in inner.items() if k != key}
    return inner if kind is None else {"$dataclass": [kind, inner]}


def _calls(keys: list[tuple[Any, Key]], request: Request) -> list[Call]:
    names = [safe(key.name) for _, key in keys]
    folders = [f"{name}-{key.digest}" for name, (_, key) in zip(names, keys, strict=True)]
    distinct = {folder.casefold(): name.casefold() for name, folder in zip(names, folders, strict=True)}
    used = Counter(distinct.values())
    jobs: dict[str, Job] = {}
    calls = []
    for (config, key), name, folder in zip(keys, names, folders, strict=True):
        place = folder.casefold()  # also where the file system ignores case
        if place not in jobs:
            out_dir = request.root / folder
            jobs[place] = Job(
                name=name if used[name.casefold()] == 1 else folder,
                argv=request.argv,
                out_dir=out_dir,
                config=key.config,
                env=request.env(out_dir, key.name),
            )
        given = _given(config, key.name, jobs[place].out_dir)
        calls.append(Call(key.name, given, key, jobs[place], request.ignored))
    return calls


def _given(config: Any, name: str, out_dir: Path) -> Any:
    """The config, with `out_dir` in it. Of a dataclass it is set where there is a field for it."""
    if isinstance(config, Config):
        config.update(name=name, out_dir=out_dir)
    elif any(field.name == "out_dir" for field in dataclasses.fields(config)):
        object.__setattr__(config, "out_dir", out_dir)  # frozen ones too: nobody has seen this copy yet
    return config
