"""A search in a spec -> the spec of its first trial, and any further trial from the first one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.configs import config_file, yamlfile
from runner.configs.config_file import ConfigFile
from runner.configs.overrides import found, underscored
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.text import shown
from runner.disk import atomic, layout
from runner.planners import jobs, nested_keys
from runner.search import space
from runner.search.space import Search, Trial, name
from runner.search.suggest import suggest

KIND = PlanKind("search", ("summary", "experiment", "search"), listing="comparison", stop_by="run_background.py")
FIRST = name(0)
AGAIN = "_seed_"  # between the name of a trial and the other seed with which it is repeated
SCHEMA = 1


def probes(search: Search, first: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Settings to check before the start, beside those of the first trial: both ends of each range, and `enqueue`."""
    ends = [{key: end} for key, one in search.ranges.items() for end in one.ends if end != first[key]]
    return [*ends, *(dict(one) for one in search.enqueue if one)]


def located(file: ConfigFile, search: Search, count: int) -> ConfigFile:
    """The spec, with the places of its ranges where a sweep has those of its candidates."""
    lines = dict(file.lines)
    for key in search.ranges:
        for place in (f"sweep.{key}", *(f"include[{number}].{key}" for number in range(count))):
            lines[place] = file.lines.get(f"search.{key}", file.lines.get("search", 1))
    return replace(file, lines=lines)


def trial(first: Job, root: Path, number: int, params: Mapping[str, Any], contents: Mapping[str, bytes]) -> Job:
    """Another trial: the first one with other settings, under another name. `contents` are further inputs."""
    return _made(first, root, name(number), params, contents)


def confirmation(first: Job, root: Path, trial: Job, search: Search, number: int) -> Job:
    """A trial with another seed, the `number`th from 1 on."""
    key = seed_key(first.config)
    assert key is not None
    before = found(key, trial.config)
    seed = (before if isinstance(before, int) else 0) + number
    values = {**params_of(trial, search), key: seed}
    files = {name: content for name, content in first.files.items() if name != layout.TRIAL}
    return _made(replace(first, files=files), root, f"{trial.name}{AGAIN}{seed}", values, {})


def repeats(job: str) -> str | None:
    """The trial that a job repeats with another seed; None for another job."""
    before, between, seed = job.partition(AGAIN)
    return before if between and seed.isdecimal() and space.number(before) is not None else None


def seed_key(config: Mapping[str, Any], before: str = "") -> str | None:
    """The setting that is the seed: `seed` itself, or the first whose name ends so."""
    found = [f"{before}{key}" for key in config if key.casefold().endswith("seed") or key == "random_state"]
    within = (seed_key(value, f"{before}{key}.") for key, value in config.items() if isinstance(value, Mapping))
    return "seed" if "seed" in found else next((key for key in (*found, *within) if key), None)


def _made(first: Job, root: Path, own: str, params: Mapping[str, Any], contents: Mapping[str, bytes]) -> Job:
    def renamed(text: str) -> str:
        return text.replace(FIRST, own)

    assert first.source is not None and first.snapshot is not None
    names = {key: nested_keys.spelled(key, first.config) for key in params}
    config = nested_keys.applied(first.config, {names[key]: value for key, value in params.items()})
    old = {key: pair[0] for key, pair in first.changes.items()}
    changes = {**first.changes, **{names[key]: (old.get(names[key], found(names[key], first.config)), value)
                                   for key, value in params.items()}}  # fmt: skip
    job = replace(
        first,
        name=own,
        argv=_with_options(first, params, tuple(map(renamed, first.argv))),
        out_dir=root / own,
        config=config,
        changes={key: pair for key, pair in changes.items() if repr(pair[0]) != repr(pair[1])},
        source=Path(renamed(str(first.source))),
        source_argument=renamed(first.source_argument or ""),
        copy_words={place: renamed(word) for place, word in first.copy_words.items()},
        files={**first.files, first.snapshot: _source(first, params), **contents},
        env={key: renamed(value) for key, value in first.env.items()},
        rerun=tuple(map(renamed, first.rerun)),
        planned_as=None,
    )
    return jobs.with_values(job, {})


def _with_options(first: Job, params: Mapping[str, Any], argv: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a trial: a script that takes no config file has its settings among them."""
    if first.source_argument in first.argv or first.copy_words:
        return argv
    options = {underscored(key): value for key, value in params.items()}

    def written(word: str) -> str:
        option, equals, _ = word.partition("=")
        key = underscored(option.removeprefix("--"))
        return f"{option}={options[key]}" if equals and option.startswith("--") and key in options else word

    return tuple(map(written, argv))


def refuse_flags(first: Job, search: Search) -> None:
    """Raise UserError for a setting whose value no option of a trial has: a flag, or an option by another name."""
    if first.source_argument in first.argv or first.copy_words or first.script is None:
        return
    given = {underscored(word.partition("=")[0].removeprefix("--")) for word in first.argv if "=" in word}
    if lost := [key for key in search.ranges if underscored(key) not in given]:
        cause = f"{shown(first.script)} takes no config file, and has no option --{lost[0]} with one value"
        raise UserError(f"search.{lost[0]}: {cause}; name the setting as its option is, or use a sweep")


def _source(first: Job, params: Mapping[str, Any]) -> bytes:
    """The config of a trial as a file, in the form of the first one's."""
    assert first.source is not None
    file = config_file.read(first.source)
    given = {nested_keys.spelled(key, file.values): value for key, value in params.items()}
    return written(nested_keys.applied(file.values, given), first.source.suffix, f"# from {FIRST}\n")


def written(values: Mapping[str, Any], suffix: str, line: str) -> bytes:
    """A config file with these values."""
    if suffix == ".py":
        return line.encode() + "".join(f"{key} = {value!r}\n" for key, value in values.items()).encode()
    return line.encode() + yamlfile.write(dict(values)).encode()


def record(search: Search, number: int, params: Mapping[str, Any], known: Sequence[Trial]) -> bytes:
    """trial.json: what was suggested, and all that the suggestion depends on."""
    told = [{"number": one.number, "params": dict(one.params), "state": one.state, "value": one.value,
             **({} if one.at is None else {"at": one.at})} for one in known]  # fmt: skip
    return atomic.json_bytes(
        {"schema": SCHEMA, "number": number, "params": dict(params), "search": search.to_json(), "known": told}
    )


def of(plan: Plan) -> Search | None:
    """The search of a plan; None for other batches. Raises UserError for one that cannot be read."""
    entry = plan.origin.get("search")
    if entry is None:
        return None
    try:
        return Search.from_json(entry)
    except ValueError as error:
        raise UserError(f"{shown(plan.root)}: {error}; start a new search") from None


def continued(before: Plan, now: Plan) -> Plan:
    """A search that is resumed with its spec: its trials stay, and further ones follow the spec as it is now."""
    old, new = of(before), of(now)
    if old is None or new is None:
        kind = "a search" if old else "a sweep"
        raise UserError(f"{shown(before.root)}: is {kind}, and the spec is not; start a new experiment")
    for key, one, other in (("metric", old.metric, new.metric), ("goal", old.goal, new.goal)):
        if one != other:
            cause = f"search.{key} was {one} when it began, and is {other}"
            raise UserError(f"{shown(before.root)}: {cause}; change it back, or start a new experiment")
    return before if old == new else replace(before, origin={**before.origin, "search": new.to_json()})


def with_numbers(plan: Plan, trials: str | None, confirm: str | None) -> Plan:
    """The plan with other numbers of trials and of trials to confirm, as they were given. Raises UserError."""
    given = {option: text for option, text in (("trials", trials), ("search_confirm", confirm)) if text is not None}
    search = of(plan)
    if search is None:
        if given:
            raise UserError(f"--{next(iter(given))} is for a search: give a spec that has the section search")
        return plan
    for option, text in given.items():
        if not text.isdecimal() or not 0 < int(text) < 10**6:
            raise UserError(f"--{option} {text}: must be a whole number from 1 on")
    numbers = {option.removeprefix("search_"): int(text) for option, text in given.items()}
    new: Search = replace(search, **numbers)  # type: ignore[arg-type]
    if new.confirm and seed_key(plan.jobs[0].config) is None:
        place = plan.origin.get("spec") or shown(plan.root)
        cause = "trials are confirmed with other seeds, and the config has none"
        raise UserError(f"{place}: search.confirm: {cause}; add seed: 0 to the config")
    return plan if new == search else replace(plan, origin={**plan.origin, "search": new.to_json()})


def params_of(job: Job, search: Search) -> dict[str, Any]:
    """The settings of a trial that the search varies, from its config."""
    return {key: found(nested_keys.spelled(key, job.config), job.config) for key in search.ranges}


def recorded(first: Job, search: Search) -> Job:
    """The first trial, with its trial.json."""
    refuse_flags(first, search)
    entry = record(search, 0, first_settings(search), ())
    return replace(first, files={**first.files, layout.TRIAL: entry})


def first_settings(search: Search) -> dict[str, Any]:
    return suggest(search, 0, ())


def config_of(job: Job) -> tuple[str, bytes]:
    """Where below the batch the config of a trial is, and its content."""
    assert job.source is not None and job.snapshot is not None
    return f"{layout.CONFIGS}/{job.source.name}", job.files[job.snapshot]
