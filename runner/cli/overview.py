"""What `overnight --help` says: all commands in groups, a line each. Knows no options: each command shows its own."""

from __future__ import annotations

from runner.cli.commands.registry import COMMANDS
from runner.core import program

#: The commands in groups, in the words of somebody who looks for one; importing them all for their help takes too long.
GROUPS = {
    "start and continue": {
        "run CONFIG...": "one job for each config",
        "sweep SPEC": "each combination of settings, or a search",
        "tree DIR": "the configs in the subdirectories of a folder",
        "resume [BATCH]": "what did not complete, from its checkpoints",
        "rerun [BATCH] JOB...": "jobs once more, with other settings too (--set)",
    },
    "watch": {
        "list": "all batches, the latest first",
        "status [BATCH]": "the state of each job now",
        "tail [BATCH] [JOB]": "what a job prints",
        "attach [BATCH]": "the log of a batch, until it ends",
        "wait [BATCH]": "until a batch has ended",
        "serve": "all batches on a live page in the browser",
    },
    "change a batch that runs": {
        "stop [BATCH] [JOB...]": "its jobs save and exit; --now, --drain",
        "skip [BATCH] JOB...": "do not start these",
        "add [BATCH] CONFIG...": "more jobs",
        "move [BATCH] JOB...": "--first or --last among those that wait",
    },
    "results": {
        "table [FOLDER...]": "settings and results of all jobs",
        "compare [FOLDER...]": "which settings are best, and what mattered",
        "diff JOB JOB": "what two jobs differ in",
        "report [BATCH]": "one HTML file to read and to send",
        "plot [FOLDER...]": "curves as a picture",
    },
    "keep order": {
        "note BATCH TEXT": "a note about a batch",
        "tag BATCH TAG...": "tags of a batch",
        "du [BATCH...]": "what batches take on the disk",
        "clean [BATCH...]": "remove checkpoints of all but the best jobs",
        "rm BATCH...": "remove batches",
        "notify [CHANNEL...]": "the channels of notifications, and a test of each",
        "doctor": "what a report of an error needs",
    },
}
TEXT = """\
usage: {program} COMMAND ...

Overnight runs training jobs that can be left alone: each in a process of its
own, with its logs, its result, and the cause if it failed.

  {program} run "config/*.py" --train-script train.py
  {program} table

{groups}

{program} COMMAND --help shows its options. Without BATCH the latest is meant.
--version prints the version.

exit codes:
    0  every job of this call completed
    1  some did not complete
    2  an error on the command line or in a config; nothing was started
   75  nothing was started: the batch is locked, or no GPU was free for as
       long as --gpu-wait says
  130  interrupted by Ctrl+C (143 by SIGTERM, 129 by SIGHUP)
"""


def overview() -> str:
    """The help of the program."""
    known = {line.partition(" ")[0] for group in GROUPS.values() for line in group}
    groups = dict(GROUPS)
    if added := [name for name in COMMANDS.names() if name not in known]:
        groups["of installed plugins"] = dict.fromkeys(added, "")
    shown = "\n\n".join(f"{title}:\n{_lines(group)}" for title, group in groups.items())
    return TEXT.format(program=program.name(), groups=shown)


def _lines(group: dict[str, str]) -> str:
    return "\n".join(f"  {words:<24}{purpose}".rstrip() for words, purpose in group.items())
