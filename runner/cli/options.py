"""What can be said on the command line of run_experiments.py, and how it is understood. Starts nothing."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from runner.core.options import NAMES as RUN_OPTIONS
from runner.core.options import RETRY_CAUSES, RunOptions

#: Settings of a training that document readers know by name; any other key of a config is taken as well.
OVERRIDES = {
    "batch_size": "override the batch size of every config",
    "wandb_project": "override the wandb project",
    "wandb_enabled": "true or false: log to wandb (reaches the job as --wandb_log)",
    "device": "cuda, cuda:1, cpu, mps; a GPU is called cuda, not gpu",
    "compile": "true or false: use torch.compile",
    "max_iters": "override the number of training iterations",
    "learning_rate": "override the learning rate",
    "export_features": "npy, npy+csv or npy+parquet: how a robustness run keeps its feature vectors",
}
RETRY_ON = ",".join(RunOptions().retry_on)
BOOLEANS = {"wandb_enabled", "wandb_log", "compile"}
#: What a sweep in mode simulation passes on to its jobs.
SIMULATION = {
    "show": "open windows with the plots, where there is a display",
    "research_only": "draw only the plots of the research questions",
    "no_confusion": "draw no confusion matrix",
    "advanced": "compare the runs of the experiment",
}

#: Options that say something of a tree of configs only.
OF_TREES = ("output_root", "extensions", "ignore", "subdir", "rerun", "runners")
DASHED = ("dry_run", "config_root", "output_root", "max_workers", "export_features")  # as the documents spell them
BASE_OUT_DIR = "experiments"
COMMANDS = ("list", "status", "attach", "tail", "stop", "rerun", "table")
USAGE = """\
run_experiments.py --configs "config/shkspr_char_diff/*.py" [--device cuda] [--KEY VALUE ...] [options]
       run_experiments.py --exp SPEC.yaml [--resume [DIR]] [--limit N] [options]
       run_experiments.py --config-root config [--output-root outputs] [--subdir NAME] [options]
       run_experiments.py --resume [BATCH] [--only failed|interrupted|pending] [--accept_changes]
       run_experiments.py list | status [BATCH] | attach [BATCH] | tail [BATCH] [JOB] | stop [BATCH] [--now|--drain]
                          | rerun BATCH JOB | table FOLDER..."""
DESCRIPTION = """\
Run training jobs, one config after another. Each job runs in a process of its own; its output goes to logs that can be
watched with tail -f, its end is recorded, and a job that fails does not stop the others.
"""
EPILOG = """\
examples:
  python run_experiments.py --configs "config/quickstart/*.py"
      three small trainings, one after another
  python run_experiments.py --configs "config/shkspr_char_diff/*.py" --device cuda --batch_size 8 --wandb_enabled false
      the same settings for all of them
  python run_experiments.py --configs "config/**/*.py" --max_iters 100 --n_layer 4 --dry-run
      see what would run: commands, folders, and what the overrides change
  python run_experiments.py --configs "sweep/*.py" --train_script ~/nanoGPT/train.py --timeout 7200 --max_failures 3
      another training script that takes <config> --out_dir=... --key=value
  python run_experiments.py --configs "c/*.yaml" --command "python t.py -c {config} -o {out_dir} {overrides}"
      a program that takes its arguments otherwise

  python run_experiments.py --exp experiments/specs/lr_sweep_digits_mlp.yaml --limit 3
      a sweep over settings, three of its runs now; with --resume the next three

what it writes, in experiments/experiment_<date>_<time>/ (experiments/latest points to the newest):
  master_log.txt  experiment_summary.json  plan.json
  <config>/  stdout.log  stderr.log  combined.log  experiment_result.json  experiment_metadata.json  config_used.py
             and what the job itself writes: metrics.jsonl, checkpoints

Every option may be spelled with - or _ (--batch-size, --batch_size). Booleans: true, false, 1, 0, yes, no, True, False.
Ctrl+C asks the running job to save and leave; it has 10 s, then SIGTERM and 5 s more, then it is killed (--grace sets
these times). A second Ctrl+C kills it at once. The summary is written either way.

exit codes:
  0  every job completed (of this call)      2  a mistake on the command line or in a config; nothing was started
  1  some did not complete                75  another runner has this batch in hand
                                          130  interrupted by Ctrl+C (143 by SIGTERM, 129 by SIGHUP)
"""
OF_TREES_TOO = """\
Every option of run_experiments.py works as well, and so does any key of the configs: --timeout 3600, --retries 2,
--seed 7. What completed is not run again by the same command; what failed is. Exit code: 0 if all completed, 1 if some
did not, 2 for a mistake, 75 if another runner works in the same output folder, 130 after Ctrl+C.
"""


class UsageError(Exception):
    """Sentences on what is wrong with the command line."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Shows one spelling of each option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=118)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse._HelpAction):
            return "-h, --help"
        if action.option_strings and action.nargs == 0:
            return action.option_strings[0]
        return super()._format_action_invocation(action) if not action.option_strings else self._with_value(action)

    def _with_value(self, action: argparse.Action) -> str:
        return f"{action.option_strings[0]} {self._format_args(action, (action.dest or '').upper())}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see --help")


def parser() -> argparse.ArgumentParser:
    """Every option in both spellings, --batch_size and --batch-size."""
    seconds, positive = _checked(_seconds), _checked(_positive)
    top = _Parser(
        prog="run_experiments.py", usage=USAGE, description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False,
        formatter_class=_Formatter,
    )  # fmt: skip
    what = top.add_argument_group("what to run")
    _add(
        what,
        "configs",
        nargs="+",
        metavar="PATTERN",
        help='config files, or patterns such as "config/**/*.py" in quotes',
    )
    _add(what, "exp", metavar="SPEC", help="instead of --configs: a sweep spec, see docs/sweeps.md")
    _add(what, "limit", type=positive, metavar="N", help="run N jobs at most; the others stay pending for --resume")
    _add(what, "train_script", metavar="PATH", help="the program that runs one config (default: train_run.py)")
    _add(what, "command", metavar="TEMPLATE", help="a command with {config}, {out_dir}, {overrides}, {name}, {python}")
    trees = top.add_argument_group("a tree of configs", "For --config_root, and for the programs in runners/.")
    _add(trees, "config_root", metavar="DIR", help="instead of --configs: run what lies in DIR's subdirectories")
    add_tree(trees)
    settings = top.add_argument_group(
        "settings that win over the configs", "Any other key of a config is taken likewise."
    )
    for key, text in OVERRIDES.items():
        _add(settings, key, metavar="VALUE", help=text)
    _add(settings, "KEY", metavar="VALUE", help="any key of the configs, as --key=value or --key value")
    plots = top.add_argument_group("a sweep", "For --exp; the last four are for mode simulation.")
    _add(plots, "mode", choices=("training", "simulation"), help="another mode than the spec says")
    for key, text in SIMULATION.items():
        _add(plots, key, nargs="?", const="true", metavar="BOOL", help=text)
    where = top.add_argument_group("where it goes")
    _add(
        where, "base_out_dir", metavar="DIR", default=BASE_OUT_DIR, help="folder of the batches (default: experiments)"
    )
    _add(where, "name", help="the batch folder is NAME_<date>_<time> (default: experiment)")
    how = top.add_argument_group("how it runs")
    _add(how, "dry_run", action="store_true", help="print commands, folders and changes; start and write nothing")
    _add(how, "detach", action="store_true", help="run on in the background, also after logout")
    _add(how, "max_workers", type=positive, metavar="N", help="N jobs at a time (default: 1)")
    _add(how, "timeout", type=seconds, metavar="SECONDS", help="stop a job that runs longer")
    _add(how, "stall_timeout", type=seconds, metavar="SECONDS", help="stop a job that is silent for so long")
    _add(how, "fail_fast", action="store_true", help="start no further job after the first that does not complete")
    _add(how, "max_failures", type=positive, metavar="N", help="the same after N such jobs")
    _add(how, "retries", type=positive, metavar="N", help="try a job again, up to N times")
    _add(
        how,
        "retry_on",
        type=_checked(_causes),
        metavar="CAUSES",
        help=f"after which ends: {RETRY_ON}",
    )
    _add(how, "retry_delay", type=seconds, metavar="SECONDS", help="before the first retry, then doubled: 10")
    _add(how, "grace", type=_checked(_grace), metavar="A,B,C", help="seconds after SIGINT, SIGTERM, KILL: 10,5,10")
    _add(how, "keep_running", action="store_true", default=None, help="a job goes on when the runner itself is killed")
    _add(
        how, "log_timestamps", choices=("all", "combined", "none"),
        help="which logs get a timestamp a line; with combined, the other two keep the exact bytes (default: all)",
    )  # fmt: skip
    again = top.add_argument_group("a batch that was not finished")
    _add(again, "resume", nargs="?", const="", metavar="DIR", help="go on with a batch (default: the newest)")
    _add(again, "only", choices=("failed", "interrupted", "pending"), help="of its jobs, run these only")
    _add(again, "accept_changes", action="store_true", help="go on although configs were changed since")
    _add(
        again, "resume_args", metavar="WORDS",
        help="what lets another script go on from a checkpoint, such as \"--load {checkpoint}\"",
    )  # fmt: skip
    said = top.add_argument_group("what it says")
    _add(
        said, "json", action="store_true", help="the summary (or, with --dry-run, the plan) as JSON on standard output"
    )
    _add(said, "quiet", action="store_true", help="say only what failed, and the end")
    _add(said, "verbose", action="store_true", help="show what the jobs print, too")
    return top


def add_tree(group: argparse._ArgumentGroup) -> None:
    """The options of OF_TREES."""
    _add(group, "output_root", metavar="DIR", help="where the outputs go, in folders as those of the configs: outputs")
    _add(group, "extensions", metavar="LIST", help="kinds of configs, with commas between them: yaml,yml,json")
    _add(group, "ignore", action="append", metavar="PATTERN", help='leave out files, as in "*template*"; repeatable')
    _add(group, "subdir", action="append", metavar="NAME", help="this subdirectory, whatever it trains; repeatable")
    _add(group, "rerun", action="store_true", help="run again what completed earlier, too")
    _add(group, "runners", metavar="DIR", help="folder of programs run_<subdir>.py (default: runners)")


def help_for_trees(program: str, purpose: str) -> str:
    """What the programs in runners/ say of themselves."""
    top = argparse.ArgumentParser(program, description=purpose, epilog=OF_TREES_TOO, formatter_class=_Formatter)
    options = top.add_argument_group("all programs in runners/ take these")
    _add(options, "config_root", metavar="DIR", help="folder whose subdirectories hold the configs (default: config)")
    add_tree(options)
    _add(options, "device", metavar="VALUE", help=OVERRIDES["device"])
    _add(options, "export_features", metavar="VALUE", help=OVERRIDES["export_features"])
    _add(options, "max_workers", metavar="N", help="N runs at a time (default: 1)")
    _add(options, "dry_run", action="store_true", help="show configs and where their outputs would go; write nothing")
    _add(options, "verbose", action="store_true", help="show what the runs print, too")
    return top.format_help()


def _add(group: argparse._ArgumentGroup, name: str, **settings: object) -> None:
    spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
    if name in DASHED:
        spellings = dict.fromkeys(reversed(spellings))
    group.add_argument(*spellings, dest=name, **settings)  # type: ignore[arg-type]


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def _grace(text: str) -> tuple[float, ...]:
    try:
        times = tuple(float(word) for word in text.split(","))
    except ValueError:
        times = ()
    if len(times) != 3 or not all(0 <= value < float("inf") for value in times):
        raise argparse.ArgumentTypeError(f"{text!r} is not three numbers of seconds, such as 10,5,10")
    return times


def _causes(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in RETRY_CAUSES]
    if unknown or not words:
        raise argparse.ArgumentTypeError(
            f"{text!r} must name causes of {', '.join(RETRY_CAUSES)}"
        )
    return words


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


@dataclass(frozen=True, slots=True)
class Wrong:
    """What stands in the place of a value that cannot be understood, so that all mistakes can be said at once."""

    why: str


def _checked(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A type for argparse that does not stop at its first mistake."""

    def convert(text: str) -> Any:
        try:
            return read(text)
        except argparse.ArgumentTypeError as error:
            return Wrong(str(error))

    return convert


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, dict[str, str], list[str]]:
    """Options, overrides as key -> text, and mistakes. Raises UsageError where nothing more can be found out."""
    options, rest = parser().parse_known_args(argv)
    problems = [f"--{name}: {value.why}" for name, value in vars(options).items() if isinstance(value, Wrong)]
    if options.resume is not None and options.config_root is not None:
        raise UsageError(*problems, "--resume: the same command goes on by itself, type it without --resume")
    if options.resume is not None and options.exp is None:
        problems += _not_with_resume(options, rest)
        if problems:
            raise UsageError(*problems)
        return options, {}, []
    if options.resume is None and (options.only or options.accept_changes):
        problems.append("--only and --accept_changes go with --resume")
    problems += _misplaced(options)
    if not options.configs and options.exp is None and options.config_root is None:
        raise UsageError(
            *problems, '--configs is missing: name the configs to run, as in --configs "config/quickstart/*.py"'
        )
    if options.exp is not None:
        problems += [
            f"--{key} does not go with --exp: {why}" for key, why in _SAID_BY_SPEC.items() if vars(options)[key]
        ]
    elif options.mode is not None:
        rest = [*rest, f"--mode={options.mode}"]  # a key of the configs
    if options.train_script and options.command:
        problems.append("--train_script and --command both say what a job runs; give one of them")
    if options.KEY is not None:
        problems.append(f"--KEY stands for a key of your configs, as in --n_layer {options.KEY}")
    overrides, wrong = _overrides(options, rest)
    return options, overrides, problems + wrong


def _misplaced(options: argparse.Namespace) -> list[str]:
    """Options that do not go together, as far as a tree of configs is concerned."""
    if options.config_root is None:
        given = [name for name in OF_TREES if vars(options)[name]]
        return [f"--{name} goes with --config_root, which names a folder of configs" for name in given]
    given = [name for name in ("configs", "exp", "command", "name") if vars(options)[name]]
    if options.base_out_dir != BASE_OUT_DIR:
        given.append("base_out_dir")
    return [f"--{name} does not go with --config_root; {_INSTEAD[name]}" for name in given]


_INSTEAD = {
    "configs": "give one of them",
    "exp": "give one of them",
    "command": "a tree is run by train_run.py, or by a --train_script",
    "name": "its outputs lie in --output_root",
    "base_out_dir": "--output_root says where its outputs lie",
}

#: Options that a sweep's spec stands for.
_SAID_BY_SPEC = {"configs": "the spec names its configs", "name": "the spec names the experiment"}


def simulation_flags(options: argparse.Namespace) -> dict[str, str]:
    """The settings of SIMULATION that were given, as overrides."""
    return {key: vars(options)[key] for key in SIMULATION if vars(options)[key] is not None}


def _overrides(options: argparse.Namespace, rest: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The settings among the options and among what argparse did not know."""
    from runner.configs.overrides import boolean, split

    words, others, problems = split(rest)
    problems = [wrong for word in rest if word.startswith("--") and (wrong := _misspelled(word))] or problems
    problems += [f"{word!r} was not expected here; options begin with --, see --help" for word in words]
    given = {key: getattr(options, key) for key in OVERRIDES if getattr(options, key) is not None} | others
    if given.pop("out_dir", None) is not None:
        problems.append("--out_dir is set by the runner for each job; type --base_out_dir to say where batches go")
    if given.get("init_from") == "resume":
        problems.append("--init_from resume: each job gets a new folder; type --resume to go on with a batch")
    for key in BOOLEANS & given.keys():
        try:
            given[key] = str(boolean(given[key]))
        except ValueError:
            problems.append(f"--{key} {given.pop(key)}: is neither true nor false")
    for key, text in simulation_flags(options).items():
        try:
            setattr(options, key, str(boolean(text)))
        except ValueError:
            problems.append(f"--{key} {text}: is neither true nor false")
            setattr(options, key, None)
    return given, problems


def _not_with_resume(options: argparse.Namespace, rest: Sequence[str]) -> list[str]:
    """A resumed batch is the batch that was planned."""
    fixed = (*OVERRIDES, *SIMULATION, "mode", "configs", "train_script", "command", "resume_args")
    given = [f"--{key}" for key in fixed if getattr(options, key) is not None]
    given += [word for word in rest if word.startswith("--")]
    if given:
        return [f"{given[0]} cannot be changed by --resume; start a new batch, or edit the configs"]
    return [f"{word!r} was not expected here; options begin with --, see --help" for word in rest[:1]]


def given_options(options: argparse.Namespace) -> dict[str, Any]:
    """The run options that were given."""
    given = {name: getattr(options, name, None) for name in RUN_OPTIONS}
    return {name: value for name, value in given.items() if value not in (None, False)}


def run_options(options: argparse.Namespace) -> RunOptions:
    """The run options that were given, and the defaults of all others."""
    return RunOptions().updated(given_options(options))


def _misspelled(word: str) -> str | None:
    """A word that was nearly one of our own options would otherwise pass as a key of a script that we cannot read."""
    import difflib

    own = [action.dest for action in parser()._actions if action.dest not in (*OVERRIDES, "exp", "mode", "show")]
    key = word.removeprefix("--").partition("=")[0].replace("-", "_")
    meant = difflib.get_close_matches(key, own, n=1, cutoff=0.85)
    return f"--{key}: unknown option; did you mean --{meant[0]}?" if meant else None
