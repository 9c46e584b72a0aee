"""`@runner.experiment`: a function, its configs and its report, with results that are computed once."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from runner.core import clock
from runner.core.config import Config
from runner.core.errors import UserError, did_you_mean, print_error
from runner.core.interpreter_options import interpreter_options
from runner.core.job import Plan
from runner.core.printing import say
from runner.core.text import count, plain, shown
from runner.disk.layout import INDUCTOR_CACHE, JOB_ERROR, OWN
from runner.library import earlier_fingerprint, evaluation
from runner.library import plan as planner
from runner.library.arguments import Given, parse, program_of
from runner.library.cache import CachePolicy, Hit, Miss
from runner.library.console import LISTED, Console
from runner.library.current_code import CurrentCode
from runner.library.evaluation import Evaluated
from runner.library.plan import Call, Request
from runner.planners.environment import additions
from runner.reports.table import Table, row

C = TypeVar("C")
R = TypeVar("R")
V = TypeVar("V")
ONE = "RUNNER_ONE_CONFIG"  # in the environment of a process that was started for one config: the folder of it
OUT = "out"
NAME_WIDTH = 60  # characters of a config's name in a table


class Incomplete(RuntimeError):
    """Configs without a result, after all others were computed and kept. `missing`: name -> why."""

    def __init__(self, missing: Mapping[str, str]) -> None:
        super().__init__("no result: " + "; ".join(f"{name} ({why})" for name, why in missing.items()))
        self.missing = dict(missing)


class Experiment(Generic[C, R]):
    """What the decorator makes of a function. Calling it calls the function, and keeps nothing."""

    def __init__(self, function: Callable[[C], R], version: str | None = None, ignore: Iterable[str] = ()) -> None:
        self.function = function
        self.version = version
        self.ignore = tuple(ignore)
        self._code = CurrentCode(function)
        self._configs: Callable[[], Iterable[Any]] | None = None
        self._report: Callable[..., object] | None = None
        self._out = Path(OUT)
        functools.update_wrapper(self, function)

    def __call__(self, config: C) -> R:
        return self.function(config)

    @overload
    def configs(
        self: Experiment[Config[V], R], function: Callable[[], Iterable[Mapping[str, V]]]
    ) -> Callable[[], Iterable[Mapping[str, V]]]: ...
    @overload
    def configs(self, function: Callable[[], Iterable[C]]) -> Callable[[], Iterable[C]]: ...
    def configs(self, function: Callable[[], Iterable[Any]]) -> Callable[[], Iterable[Any]]:
        """Decorate the function that returns the configs: dicts, Configs, or dataclasses."""
        self._configs = function
        return function

    def report(self, function: Callable[..., object]) -> Callable[..., object]:
        """Decorate the function that gets the configs and the results, two lists in one order.

        It is called when no result is missing. If it has a parameter called `missing`, it is called in any case, with
        what there is, and gets there the configs that have no result.
        """
        self._report = function
        return function

    def run(
        self,
        configs: Callable[[], Iterable[C] | Iterable[Mapping[str, Any]]] | None = None,
        report: Callable[..., object] | None = None,
        output_dir: str | os.PathLike[str] = OUT,
        args: Sequence[str] | None = None,
    ) -> list[R]:
        """Compute what is missing, report, and return the results in the order of the configs.

        `args` are words of the command line, such as `["--rerun"]`. Without them those of the command line count if
        this is called by the main program, and none otherwise. The main program ends with an exit code if there is an
        error; elsewhere, and in the function of an experiment, UserError, Incomplete or KeyboardInterrupt is raised.
        """
        scope = sys._getframe(1).f_globals
        program = None if evaluation.computing() else program_of(scope, sys.argv)
        words = args if args is not None else sys.argv[1:] if program else ()
        console = Console(sys.stderr)
        self._configs, self._report = configs or self._configs, report or self._report
        self._out = Path(output_dir)
        try:
            given = parse(words, program.name if program else "experiment.run")
            plan, calls = self._planned(given, _command(program, scope) if given.isolated else ())
            if given.dry_run:
                _show(calls, given)
                return [] if program is None else sys.exit(0)
            if program is not None and (folder := _started_for()) is not None:
                return self._one(folder, plan, calls, console)
            if given.report:
                known = evaluation.existing_results(calls, CachePolicy(given.code), console)
            else:
                console = Console(sys.stderr, logs=given.isolated)
                known = evaluation.evaluate(self.function, plan, calls, given, console)
        except UserError as error:
            if program is None:
                raise
            sys.exit(print_error(error, program.name))
        if known.signal is not None:
            if program is None:
                raise KeyboardInterrupt
            sys.exit(128 + known.signal)
        return self._reported(calls, known, console, program)

    def results(
        self,
        configs: Callable[[], Iterable[C] | Iterable[Mapping[str, Any]]] | None = None,
        output_dir: str | os.PathLike[str] | None = None,
    ) -> Table:
        """A row for each config, with its result if there is one. Computes nothing.

        Configs and folder are those of the last `run` if they are not given. Beside the keys of config and result a row
        has `name`, `status` (`completed`, `failed` or `missing`), `seconds`, `stale` and `out_dir`.
        """
        self._configs = configs or self._configs
        self._out = Path(output_dir) if output_dir is not None else self._out
        _, calls = self._planned(Given(), ())
        found = evaluation.look_up(calls, CachePolicy(), write=False)
        return Table(_row(call, found[call.job.name]) for call in calls)

    def _planned(self, given: Given, command: tuple[str, ...]) -> tuple[Plan, list[Call]]:
        if self._configs is None:
            own = self.function.__name__
            raise UserError(f"{own} has no configs; decorate a function with @{own}.configs, or give run(configs=…)")
        root = Path.cwd() / self._out.expanduser()
        request = Request(
            function=self.function,
            root=root,
            code=self._code.fingerprint(),
            earlier_code=functools.cache(lambda: earlier_fingerprint.fingerprint(self.function)),
            version=self.version,
            ignored=self.ignore,
            argv=command,
            env=lambda folder, name: _environment(root, folder, name) if command else {},
        )
        plan, calls = planner.plan(_listed(self._configs), request, clock.now())
        if not given.only:
            return plan, calls
        names = [call.name for call in calls]
        there = f"there are {', '.join(names[:LISTED])}"
        unknown = [
            f"--only {name}: no such config; {did_you_mean(name, names) or there}"
            for name in given.only
            if name not in names
        ]
        if unknown:
            raise UserError(*unknown)
        chosen = [call for call in calls if call.name in given.only]
        folders = {call.job.out_dir for call in chosen}
        return dataclasses.replace(plan, jobs=tuple(job for job in plan.jobs if job.out_dir in folders)), chosen

    def _one(self, folder: str, plan: Plan, calls: list[Call], console: Console) -> list[R]:
        """In a process that was started for one config: compute it and leave.

        A script with several experiments comes here for each of them; those before the right one are computed.
        """
        for call in calls:
            if str(call.job.out_dir) == folder:
                sys.exit(evaluation.compute(self.function, call))
        known = evaluation.evaluate(self.function, plan, calls, Given(code="ignore"), console)
        return [known.hits[call.job.name].value for call in calls if call.job.name in known.hits]

    def _reported(self, calls: Sequence[Call], known: Evaluated, console: Console, program: Path | None) -> list[R]:
        there = [call for call in calls if call.job.name in known.hits]
        missing = {call.job.name: known.why_missing(call.job.name) for call in calls if call.job.name not in known.hits}
        results: list[R] = [known.hits[call.job.name].value for call in there]
        configs = [call.config for call in there]
        for name, why in missing.items():
            console.print(f"No result: {name} ({why})")
        if self._report is not None and _takes_missing(self._report):
            absent = [call.config for call in calls if call.job.name not in known.hits]
            self._report(configs, results, missing=absent)
        elif self._report is not None and not missing:
            self._report(configs, results)
        elif self._report is not None:
            console.print(f"No report: {count(len(missing), 'config')} of {len(calls)} without a result.")
        if missing and program is not None:
            sys.exit(1)
        if missing:
            raise Incomplete(missing)
        return results


@overload
def experiment(function: Callable[[C], R], /) -> Experiment[C, R]: ...
@overload
def experiment(
    *, version: str | int | None = None, ignore: Collection[str] = ()
) -> Callable[[Callable[[C], R]], Experiment[C, R]]: ...
def experiment(
    function: Callable[[Any], Any] | None = None,
    /,
    *,
    version: str | int | None = None,
    ignore: Collection[str] = (),
) -> Any:
    """Make an Experiment of a function that takes a config and returns a result, which can be pickled.

    A result of another `version` counts as none: change it when old results have become wrong. Keys in `ignore`, such
    as `num_workers` or `data.num_workers`, do not change results: configs that differ in them alone are equal.
    """
    text = None if version is None else str(version)
    if isinstance(ignore, str):
        raise TypeError(f"@runner.experiment(ignore={ignore!r}) is a text; give a list of keys: ignore=[{ignore!r}]")
    return _decorated(function, text, ignore) if function is not None else lambda it: _decorated(it, text, ignore)


def _decorated(function: Any, version: str | None, ignore: Collection[str]) -> Experiment[Any, Any]:
    if not callable(function) or not hasattr(function, "__qualname__"):
        raise TypeError(f"@runner.experiment decorates a function that takes a config, not {function!r}")
    return Experiment(function, version, ignore)


def _listed(configs: Callable[[], Iterable[Any]]) -> Iterable[Any]:
    """What the function of the configs returns, if it can be a list of configs."""
    if not callable(configs):
        raise UserError(
            f"configs= is a {type(configs).__name__}; give a function that returns it: configs=lambda: [...]"
        )
    found = configs()
    if isinstance(found, str | Mapping) or not isinstance(found, Iterable):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise UserError(f"{getattr(configs, '__name__', 'configs')}() returned {what}; return a list of configs")
    return found


def _command(program: Path | None, scope: Mapping[str, Any]) -> tuple[str, ...]:
    """What starts this very program again, for one config."""
    if program is None:
        raise UserError("--isolate and --workers start a script again for each config, and no script is running here")
    spec = scope.get("__spec__")
    started = ("-m", spec.name.removesuffix(".__main__")) if spec is not None else (str(program.absolute()),)
    return (sys.executable, *interpreter_options(sys.orig_argv), *started, *sys.argv[1:])


def _environment(root: Path, folder: Path, name: str) -> dict[str, str]:
    cache = root / OWN / INDUCTOR_CACHE
    return {**additions(os.environ, folder, root.name, name, cache), ONE: str(folder)}


@functools.cache
def _started_for() -> str | None:
    """The folder of the one config that this process is for. Taken away: programs that it starts are not."""
    return os.environ.pop(ONE, None)


def _takes_missing(report: Callable[..., object]) -> bool:
    try:
        return "missing" in inspect.signature(report).parameters
    except (TypeError, ValueError):
        return False


def _show(calls: Sequence[Call], given: Given) -> None:
    """Print what a run would do with each config."""
    policy = CachePolicy(given.code, clock.now() if given.rerun else None)
    found = evaluation.look_up(calls, policy, write=False)
    names = [plain(call.name, NAME_WIDTH) for call in calls]
    width = max(map(len, names), default=0)
    for name, call in zip(names, calls, strict=True):
        match found[call.job.name]:
            case Hit(stale=stale):
                text = "has a result, but the code has changed since" if stale else "has a result"
            case Miss(why=why):
                text = f"would be computed: {why}" if why else "would be computed"
        say(f"{name:<{width}}  {text}  {plain(shown(call.job.out_dir))}")
    todo = sum(isinstance(it, Miss) for it in found.values())
    say(f"{count(todo, 'config')} of {len(found)} would be computed. Nothing was written.")


def _mappings(value: Any) -> Any:
    """Dataclasses as dicts, those in dicts too; all other values as they are."""
    if isinstance(value, Mapping):
        return {key: _mappings(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
        return {name: _mappings(getattr(value, name)) for name in names}
    return value


def _row(call: Call, found: Hit | Miss) -> dict[str, Any]:
    config = _mappings(call.config)
    about: dict[str, Any] = {"seconds": None, "stale": None, "out_dir": call.job.out_dir}
    if isinstance(found, Hit):
        about |= {"seconds": found.meta.get("duration_seconds"), "stale": found.stale}
        return row(call.name, "completed", config, found.value, about)
    failed = (call.job.out_dir / JOB_ERROR).exists()
    return row(call.name, "failed" if failed else "missing", config, None, about)
