"""What a dry run of a tree shows of the user's own programs: the configs that they run, and what they print."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from runner.core.job import Plan
from runner.core.printing import say
from runner.core.text import shown
from runner.planners import programs


def show(plan: Plan, invocations: Plan, paths: Mapping[str, Path]) -> int:
    """Print the configs of the programs at `paths`, and ask those that take --dry-run. 1 if one of them fails."""
    code = 0
    for job, (subdir, path) in zip(invocations.jobs, paths.items(), strict=True):
        say(f"{subdir}, by {shown(path, job.cwd)}:")
        for other in plan.origin["others"]:
            if other["name"].partition("/")[0] == subdir:
                say(f"   {other['name']}")
                say(f"   folder   {shown(Path(other['experiment_dir']))}")
        if not programs.takes_dry_run(path):
            say("   It is not asked: there is no --dry-run in its text.")
            say()
            continue
        say("   It says:", flush=True)
        done = subprocess.run([sys.executable, *job.argv[1:], "--dry-run"], cwd=job.cwd, check=False)
        if done.returncode:
            say(f"   Its dry run ended with exit code {done.returncode}.")
            code = 1
        say(flush=True)
    return code
