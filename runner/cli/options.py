"""The options of a batch, in groups, with their help. How their values are checked is in arguments.py."""

from __future__ import annotations

import argparse

from runner.cli.option_types import (
    Default,
    cause_rules,
    causes,
    checkpoints,
    collected,
    grace,
    jobs_per_gpu,
    memory,
    metric_pattern,
    module_names,
    names,
    natural,
    oom_keys,
    positive,
    seconds,
    wait,
)
from runner.cli.parser import BASE_OUT_DIR, Formatter, Parser, add
from runner.cli.slurm_options import ABOUT, add_slurm
from runner.configs.registry import documented_settings
from runner.core import program
from runner.core.options import GPU_IDS, LOG_TIMESTAMPS, ON_NAN, OOM_KEYS, RunOptions

RETRY_ON = ",".join(RunOptions().retry_on)
#: What a sweep in mode simulation passes on to its jobs.
SIMULATION = {
    "show": "open windows with the plots, where there is a display",
    "research_only": "draw only the plots of the research questions",
    "no_confusion": "draw no confusion matrix",
    "advanced": "compare the runs of the experiment",
}
#: Options that --no-… takes back: a resumed batch keeps them otherwise.
TAKEN_BACK = ("timeout", "stall_timeout", "fail_fast", "max_failures", "keep_running", "warm", "gpu_wait",
              "max_log_mb", "notify", "report")  # fmt: skip
#: Options for a tree of configs only.
OF_TREES = ("output_root", "extensions", "subdir", "rerun", "runners")
#: Words for jobs that did not complete. Lost: its processes are gone, and left no record.
ONLY = ("failed", "interrupted", "pending", "lost")
#: The commands that run a batch: what follows their name, what they are for, and their groups of options.
BATCH_COMMANDS = {
    "run": (
        "CONFIG... [--device cuda] [--KEY VALUE ...] [options]",
        "Run training jobs, one config after another.",
        ("inputs", "config overrides", "execution", "GPUs", "Slurm", "output"),
    ),
    "sweep": (
        "SPEC [--resume [DIR]] [--limit N] [options]",
        "Run a sweep: a job for each combination of the settings in a spec.",
        ("inputs", "config overrides", "execution", "GPUs", "Slurm", "output", "resume", "sweeps"),
    ),
    "tree": (
        "DIR [--output-root outputs] [--subdir NAME] [options]",
        "Run the configs in the subdirectories of a folder, each subdirectory by its own program.",
        ("inputs", "config overrides", "execution", "GPUs", "Slurm", "output", "trees"),
    ),
    "resume": (
        "[BATCH] [--only STATUS] [--extend KEY=VALUE] [options]",
        "Continue a batch: what completed stays, the rest is run, from its checkpoints where there are some.",
        ("execution", "GPUs", "Slurm", "output", "resume"),
    ),
}
OTHER_COMMANDS = """\
{program} list | status [BATCH] | attach [BATCH] | tail [BATCH] [JOB]
       {indent} | wait [BATCH] | stop [BATCH] [JOB...] [--now|--drain]
       {indent} | skip [BATCH] JOB... | move [BATCH] JOB... --first|--last
       {indent} | add [BATCH] CONFIG... [--KEY VALUE ...]
       {indent} | rerun [BATCH] JOB... [--set KEY=VALUE] | table [FOLDER...]
       {program} --configs CONFIG... | --exp SPEC | --config-root DIR
       {indent} | --resume [BATCH]     the same, as options"""
DESCRIPTION = """\
Run training jobs, one config after another. Each job runs in a process of its own; its output goes to logs that can be
watched with tail -f, its end is recorded, and a job that fails does not stop the others.
"""
NOTES = """\
Every option may be spelled with - or _ (--batch-size, --batch_size). Booleans: true, false, 1, 0, yes, no, True, False.
Ctrl+C stops the running job, which saves and leaves: it has 10 s, then SIGTERM and 5 s more, then it is killed (--grace
sets these times). A second Ctrl+C kills it at once. The summary is written either way.
"""
EXAMPLES = """\
examples:
  {program} run "config/*.py" --train-script train.py
      one job for each config: train.py CONFIG --out_dir=FOLDER
  {program} run "config/*.py" --device cuda --batch_size 8
      the same settings for all of them
  {program} run "config/**/*.py" --max_iters 100 --n_layer 4 --dry-run
      see what would run: commands, folders, and what the overrides change
  {program} run "c/*.yaml" --command "python t.py {{config}} {{overrides}}"
      a program with other options
  {program} sweep lr.yaml --limit 3
      a sweep over settings, three of its runs; with --resume the next ones
"""
EPILOG = """\
{examples}
what it writes, in experiments/experiment_<date>_<time>/
(experiments/latest points to the latest):
  master_log.txt  experiment_summary.json  plan.json
  <config>/  stdout.log  stderr.log  combined.log  experiment_result.json
             experiment_metadata.json  config_used.py
             and what the job itself writes: metrics.jsonl, checkpoints

{notes}
exit codes:
    0  every job completed (of this call)
    1  some did not complete
    2  an error on the command line or in a config; nothing was started
   75  nothing was started: the batch is locked, or no GPU was free for as
       long as --gpu_wait says
  130  interrupted by Ctrl+C (143 by SIGTERM, 129 by SIGHUP)
"""
SPEC = """\
a spec, such as sweep.yaml, from which six jobs are made:
  name: rates
  base_config: base.yaml
  train_script: train.py
  sweep: {{lr: [0.1, 0.01, 0.001], seed: [0, 1]}}
"""
OF_TREES_TOO = """\
Every option of run_experiments.py works as well, and so does any key of the configs: --timeout 3600, --retries 2,
--seed 7. What completed is not run again by the same command; what failed is. Exit code: 0 if all completed, 1 if some
did not, 2 for an error, 75 if the output folder is locked by another runner, 130 after Ctrl+C.
"""


def parser() -> argparse.ArgumentParser:
    """The parser of batches, for all commands that run one."""
    name = program.name()
    usages = [f"{name} {command} {words}" for command, (words, _, _) in BATCH_COMMANDS.items()]
    top = Parser(
        prog=name,
        usage="\n       ".join([*usages, OTHER_COMMANDS.format(program=name, indent=" " * len(name))]),
        description=DESCRIPTION,
        epilog=EPILOG.format(examples=EXAMPLES.format(program=name), notes=NOTES),
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    top.add_argument("--version", action="store_true", help="print the version")
    add_options(top)
    return top


def help_for(command: str) -> str:
    """The help of `run`, `sweep`, `tree` or `resume`: of the options those that go with it."""
    words, purpose, groups = BATCH_COMMANDS[command]
    top = parser()
    top.usage, top.description = f"{program.name()} {command} {words}", purpose
    examples = {"run": EXAMPLES, "sweep": SPEC}.get(command, "").format(program=program.name())
    top.epilog = f"{examples}\n{NOTES}\nThe other commands and the exit codes: {program.name()} --help".lstrip()
    top._action_groups = [group for group in top._action_groups if group.title in groups]
    return top.format_help()


def add_options(top: argparse.ArgumentParser) -> None:
    """Add every option of a batch, group by group."""
    _add_inputs(top.add_argument_group("inputs"))
    overrides = top.add_argument_group("config overrides", "Any other key of a config is accepted likewise.")
    for key, setting in documented_settings().items():
        alone = {"nargs": "?", "const": "true"} if setting.boolean else {}
        add(overrides, key, metavar="VALUE", help=setting.help, **alone)
    add(overrides, "KEY", metavar="VALUE", help="any key of the configs, as --key=value or --key value")
    _add_execution(top.add_argument_group("execution"))
    _add_gpus(top.add_argument_group("GPUs", "docs/gpus.md explains which GPU counts as free."))
    add_slurm(top.add_argument_group("Slurm", ABOUT))
    _add_output(top.add_argument_group("output"))
    _add_resume(top.add_argument_group("resume", f"A batch keeps its options; {_taken_back()} take them back."))
    sweeps = top.add_argument_group("sweeps", "The last four are for mode simulation.")
    add(sweeps, "trials", metavar="N", help="of a search: how many trials, instead of the number in its spec")
    add(sweeps, "search_confirm", metavar="K", help="of a search: run the best K trials again with other seeds")
    keys = "a key of the search, instead of in the spec: 'lr={log: [1e-5, 1e-2]}', pruner=asha or tpe; repeatable"
    add(sweeps, "search", action="append", metavar="KEY=VALUE", help=keys)
    add(sweeps, "mode", choices=("training", "simulation"), help="another mode than the spec has")
    for key, text in SIMULATION.items():
        add(sweeps, key, nargs="?", const="true", metavar="BOOL", help=text)
    add_tree(top.add_argument_group("trees"))


def _taken_back() -> str:
    return ", ".join(f"--no-{name.replace('_', '-')}" for name in TAKEN_BACK) + " and --retries 0"


def _add_inputs(group: argparse._ArgumentGroup) -> None:
    patterns = 'config files, patterns such as "config/**/*.py" in quotes, or @FILE with one of these a line'
    add(group, "configs", nargs="+", action="extend", metavar="CONFIG", help=patterns)
    add_exclude(group)
    add(group, "exp", metavar="SPEC", help="instead of configs: a sweep spec, see docs/sweeps.md")
    add(group, "config_root", metavar="DIR", help="instead of configs: run the configs in DIR's subdirectories")
    add(group, "train_script", metavar="PATH", help="the program that runs one config (in a checkout: train_run.py)")
    add(group, "module", metavar="NAME", help="instead of a script: a module, as in python -m pkg.train")
    add(group, "launcher", metavar="WORDS", help='what starts the script, such as "torchrun --nproc_per_node=2"')
    add(group, "python", metavar="PATH", help="the interpreter of the jobs, or its virtual environment (default: ours)")
    add(group, "command", metavar="TEMPLATE", help="a command with {config}, {out_dir}, {overrides}, {name}, {python}")
    add(group, "limit", type=collected(positive), metavar="N", help="run at most N jobs; the others stay pending")


def _add_execution(group: argparse._ArgumentGroup) -> None:
    number, time = collected(positive), collected(seconds)
    add(group, "dry_run", action="store_true", help="print commands, folders and changes; start and write nothing")
    add(group, "detach", action="store_true", help="run in the background, also after logout")
    add(group, "max_workers", type=number, metavar="N", help="N jobs at a time (default: 1)")
    add(group, "timeout", type=time, metavar="TIME", help="stop a job that runs longer; as 90, 30m, 2h or 1d")
    add(group, "stall_timeout", type=time, metavar="TIME", help="stop a job that is silent for so long")
    add(group, "fail_fast", action="store_true", help="start no further job after the first that does not complete")
    add(group, "max_failures", type=number, metavar="N", help="the same after N such jobs")
    same = "the same after N that fail alike, with no success between; 0: never (default: 3, from 4 jobs on)"
    add(group, "max_same_failures", type=collected(natural), metavar="N", help=same)
    add(group, "retries", type=collected(natural), metavar="N", help="try a job again, up to N times (default: 0)")
    add(group, "retry_on", action="add", type=collected(causes), metavar="CAUSES", help=f"after which ends: {RETRY_ON}")
    add(group, "retry_delay", type=time, metavar="TIME", help="before the first retry, then doubled: 10")
    oom = "after GPU memory ran out, try a job up to N times with a smaller batch and more accumulation (default: 0)"
    add(group, "oom_retry", type=collected(natural), metavar="N", help=oom)
    keys = f"their two settings: {','.join(OOM_KEYS)}"
    add(group, "oom_keys", type=collected(oom_keys), metavar="BATCH,ACCUM", help=keys)
    on_nan = "a job whose loss is NaN or infinite in several rows of its metrics: stop it (default), or let it continue"
    add(group, "on_nan", choices=ON_NAN, help=on_nan)
    add(group, "nan_patience", type=number, metavar="N", help="the number of such rows, one after another (default: 3)")
    add(group, "grace", type=collected(grace), metavar="A,B,C", help="times after SIGINT, SIGTERM, KILL: 10,5,10")
    add(group, "config_timeout", type=time, metavar="TIME", help="to evaluate a config that runs code (default: 10)")
    add(group, "keep_running", action="store_true", default=None, help="a job continues when the runner is killed")
    warm = "import torch once and start each job as a fork of that process, see docs/warm.md"
    add(group, "warm", action="store_true", default=None, help=warm)
    modules = "what is imported so, with commas (default: torch)"
    add(group, "warm_imports", action="add", type=collected(module_names), metavar="MODULES", help=modules)
    add(group, "executor", metavar="NAME", help="where jobs run: local, slurm, or the name of a plugin's")
    for name in TAKEN_BACK:
        spellings = dict.fromkeys([f"--no-{name.replace('_', '-')}", f"--no_{name}"])
        group.add_argument(*spellings, action="store_const", const=Default, dest=name, help=argparse.SUPPRESS)


def _add_gpus(group: argparse._ArgumentGroup) -> None:
    number = collected(natural)
    which = "give each job GPUs of its own: auto, all, none, 0,1,3, 0-3 or UUIDs; in the order of preference"
    add(group, "gpus", metavar="GPUS", help=which)
    add(group, "gpus_per_job", type=number, metavar="N", help="how many (default: 1), or as a key of a config; 0: none")
    jobs = "how many jobs share one (default: 1); auto: as many as their measured memory allows"
    add(group, "jobs_per_gpu", type=collected(jobs_per_gpu), metavar="K", help=jobs)
    need = "what each job needs of a GPU, as 8GiB; then as many share one as fit"
    add(group, "gpu_memory", type=collected(memory), metavar="SIZE", help=need)
    pace = "over which the speed of jobs that share a GPU is measured (default: 60)"
    add(group, "gpu_pack_window", type=collected(seconds), metavar="TIME", help=pace)
    add(group, "gpu_wait", type=collected(wait), metavar="TIME", help="for a free GPU at most (default: no limit)")
    ids = "how a job is told its GPUs: uuid (default), or index for programs that read numbers"
    add(group, "gpu_ids", choices=GPU_IDS, help=ids)
    passes = "how many jobs may overtake one that waits for more GPUs (default: 10)"
    add(group, "gpu_backfill", type=collected(natural), metavar="N", help=passes)
    free = "a GPU with less memory in use counts as free (default: 500)"
    add(group, "gpu_free_mb", type=number, metavar="MIB", help=free)
    settle = "for so long a GPU that others used must look free (default: 30)"
    add(group, "gpu_settle", type=collected(wait), metavar="TIME", help=settle)
    users = "processes of this user on a GPU do not count; repeatable"
    add(group, "gpu_ignore_user", action="append", metavar="NAME", help=users)
    pids = "this process on a GPU does not count; repeatable"
    add(group, "gpu_ignore_pid", action="append", type=number, metavar="PID", help=pids)


def _add_output(group: argparse._ArgumentGroup) -> None:
    add(group, "base_out_dir", metavar="DIR", default=BASE_OUT_DIR, help="folder of the batches (default: experiments)")
    add(group, "name", help="the batch folder is NAME_<date>_<time> (default: experiment)")
    logs = "which logs get a timestamp a line; with combined, the other two keep the exact bytes (default: all)"
    add(group, "log_timestamps", choices=LOG_TIMESTAMPS, help=logs)
    most = "keep the beginning and the end of a log that is longer, half of N MB each (default: all of it)"
    add(group, "max_log_mb", type=collected(positive), metavar="N", help=most)
    json = "print the summary (or, with --dry-run, the plan) as JSON on standard output"
    add(group, "json", action="store_true", help=json)
    secret = "KEY is not a secret, whatever its value looks like: record it; repeatable"
    add(group, "not_secret", action="append", metavar="KEY", help=secret)
    add(group, "quiet", action="store_true", help="print only what failed, and the end")
    add(group, "verbose", action="store_true", help="print what the jobs print, too")
    pattern = r"how the output says a metric, as in '(?P<val_loss>[\d.]+) at (?P<step>\d+)'; repeatable"
    group.add_argument(
        "--metric-pattern", "--metric_pattern", action="append", dest="metric_patterns", type=collected(metric_pattern),
        metavar="REGEX", help=pattern,
    )  # fmt: skip
    rules = "a file with more rules for why a job fails, see docs/failures.md"
    add(group, "causes", type=collected(cause_rules), metavar="FILE", help=rules)
    channels = "send messages about failures and the end: ntfy, slack, mail, … with commas; see docs/notifications.md"
    add(group, "notify", action="add", type=names, metavar="CHANNELS", help=channels)
    report = "write report.html into the folder of the batch at its end, as overnight report does"
    add(group, "report", action="store_true", help=report)
    more = "send the events of the batch to this observer of a plugin too; repeatable"
    group.add_argument("--observer", action="append", dest="observers", metavar="NAME", help=more)


def _add_resume(group: argparse._ArgumentGroup) -> None:
    add(group, "resume", nargs="?", const="", metavar="BATCH", help="continue a batch (default: the latest)")
    add(group, "only", choices=ONLY, help="of its jobs, run these only")
    longer = "let completed jobs continue to a larger KEY, such as max_iters=3000; repeatable"
    add(group, "extend", action="append", metavar="KEY=VALUE", help=longer)
    add(group, "accept_changes", action="store_true", help="continue although configs were changed since")
    add(group, "accept_moved", action="store_true", help="continue although the batch was moved or copied since")
    checkpoint = 'arguments that resume another script from a checkpoint, such as "--load {checkpoint}"'
    add(group, "resume_args", metavar="WORDS", help=checkpoint)
    files = 'which files or folders of a job are checkpoints, such as "**/*.ckpt"; repeatable (default: the usual ones)'
    add(group, "checkpoints", action="append", type=collected(checkpoints), metavar="GLOB", help=files)


def add_exclude(group: argparse._ArgumentGroup) -> None:
    """--exclude, which trees first called --ignore."""
    left_out = 'leave out files, by name or path, as in "*template*"; repeatable; --ignore is the same'
    group.add_argument("--exclude", "--ignore", action="append", dest="exclude", metavar="PATTERN", help=left_out)


def add_tree(group: argparse._ArgumentGroup) -> None:
    """The options of OF_TREES."""
    add(group, "output_root", metavar="DIR", help="where the outputs go, in folders as those of the configs: outputs")
    kinds = "kinds of configs, with commas between them: yaml,yml,json"
    add(group, "extensions", action="add", metavar="LIST", help=kinds)
    add(group, "subdir", action="append", metavar="NAME", help="this subdirectory, whatever it trains; repeatable")
    add(group, "rerun", action="store_true", help="run again what completed earlier, too")
    add(group, "runners", metavar="DIR", help="folder of programs run_<subdir>.py (default: runners)")


def help_for_trees(name: str, purpose: str) -> str:
    """The help of the programs in runners/."""
    top = Parser(prog=name, description=purpose, epilog=OF_TREES_TOO, formatter_class=Formatter)
    options = top.add_argument_group("options of all programs in runners/")
    add(options, "config_root", metavar="DIR", help="folder whose subdirectories hold the configs (default: config)")
    add_exclude(options)
    add_tree(options)
    for key, setting in documented_settings().items():
        if setting.of_trees:
            add(options, key, metavar="VALUE", help=setting.help)
    add(options, "max_workers", metavar="N", help="N runs at a time (default: 1)")
    add(options, "dry_run", action="store_true", help="show configs and where their outputs would go; write nothing")
    add(options, "verbose", action="store_true", help="show what the runs print, too")
    return top.format_help()
