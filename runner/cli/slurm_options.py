"""The options of batches that run on Slurm, by the names of Slurm's own; most may be keys of a config as well."""

from __future__ import annotations

import argparse

from runner.cli.option_types import collected, names, natural, positive
from runner.cli.parser import add
from runner.core.options import SWITCH

ABOUT = "With --executor slurm; docs/slurm.md explains them."


def add_slurm(group: argparse._ArgumentGroup) -> None:
    """Add the group of options."""
    number, most = collected(positive), collected(natural)
    for name, text in {
        "partition": "where the jobs run",
        "time": "the time limit of each job, as minutes, 4:00:00 or 2-12",
        "gres": "what each job gets, as gpu:1",
        "gpus_per_node": "the same for GPUs, where the cluster wants that",
        "mem": "memory of each node, as 16G",
        "account": "who pays",
        "qos": "a quality of service",
        "constraint": "features that the nodes must have",
        "exclude": "nodes that are not used",
    }.items():
        add(group, f"slurm_{name}", metavar=name.upper() if name != "gpus_per_node" else "GPUS", help=text)
    add(group, "slurm_cpus_per_task", type=number, metavar="N", help="CPUs of each job, or of each process of it")
    add(group, "slurm_nodes", type=number, metavar="N", help="nodes of each job; srun starts a process on each")
    add(group, "slurm_ntasks_per_node", type=number, metavar="N", help="processes of a job on each node, by srun")
    add(group, "slurm_array_parallelism", type=number, metavar="N", help="at most N tasks of an array run at once")
    add(group, "slurm_max_submit", type=number, metavar="N", help="at most N jobs wait or run at once (default: 1000)")
    often = "how often a job that was cut short is queued again (default: 20)"
    add(group, "slurm_max_requeues", type=most, metavar="N", help=often)
    line = 'a line of the script before the job, as "module load cuda"; repeatable'
    add(group, "slurm_setup", action="append", metavar="LINE", help=line)
    other = "another option of sbatch, as --slurm_extra=--key=value; repeatable"
    add(group, "slurm_extra", action="append", metavar="OPTION", help=other)
    exported = "variables that the jobs get, with commas, besides PATH and the like; ALL: every one"
    add(group, "slurm_export", action="add", type=names, metavar="NAMES", help=exported)
    code = "on (default): jobs run a copy of the code, so that later edits do not reach them; off: they do"
    add(group, "slurm_snapshot", choices=SWITCH, help=code)
    last = "with --detach: a small job after all others writes the summary and sends notifications (default: off)"
    add(group, "slurm_summary", choices=SWITCH, help=last)
    pilots = "K allocations that run the jobs one after another: for many short ones"
    add(group, "slurm_pilots", type=most, metavar="K", help=pilots)
