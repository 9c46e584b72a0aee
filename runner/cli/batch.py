"""Batches from the command line: new ones, trees of configs, and those that are resumed. Each is one session."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from runner.cli import (
    added,
    batch_folders,
    clusters,
    dry_runs,
    oom_retry,
    other_settings,
    planning,
    preflight,
    search_jobs,
    warm_offer,
)
from runner.cli.arguments import Arguments, given_options, parse
from runner.cli.detach import detach
from runner.cli.options import parser
from runner.cli.searching import announced
from runner.cli.session import (
    ALL_COMPLETED,
    SOME_DID_NOT,
    BatchSession,
    existing_batch,
    new_batch,
    output_root,
    started,
)
from runner.cli.show import observer_names, observers_for, print_json, print_plan
from runner.core import clock
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.printing import say, silence
from runner.core.state import LOST, PENDING, Record
from runner.core.text import shown
from runner.disk import attempts, plan_file, results, supervisor_file
from runner.disk.checkpoints import latest_checkpoint
from runner.executors.provenance import Provenance
from runner.executors.registry import EXECUTORS
from runner.planners import changes, search, tree
from runner.planners.select import Selection, What
from runner.reports.summary import summary

EVERYTHING = What()
NOTHING: Mapping[str, str] = {}


def main(words: Sequence[str]) -> int:
    """Plan the batch of a command line, then show it, run it, or resume it. Returns the exit code."""
    arguments = parse(words)
    given = arguments.given
    if given.resume is not None:
        root = _earlier(arguments)
        if root is not None:
            return resume(root, given, _replanning(arguments))
        if not given.json:
            say(f"Note: there is no experiment of {given.exp} yet; this is the first")
    plan = _planned(arguments)
    if given.dry_run:
        code = _show(replace(plan, jobs=plan.jobs[: given.limit]), given)
        own = None if given.json else planning.invocations(arguments, plan)
        return code if own is None else max(code, dry_runs.show(plan, own, planning.own_programs(arguments)))
    if given.config_root is not None:
        return run_tree(plan, arguments)
    return run_new(plan, lambda: _planned(arguments), given)


def run_new(plan: Plan, replan: Callable[[], Plan], given: Namespace) -> int:
    """Run a new batch in a folder of its own. `replan` plans it again, for another folder."""
    if errors := clusters.problems(plan, plan.jobs[: given.limit]):  # before there is a folder
        raise UserError(*errors)
    with new_batch(plan, replan) as (session, taken):
        return _run(session, taken, session.select(taken, What(limit=given.limit)), given)


def run_tree(plan: Plan, arguments: Arguments) -> int:
    """Run the configs of a tree that do not have a result yet, then the programs for single subdirectories."""
    given, programs = arguments.given, planning.invocations(arguments, plan)
    names = frozenset(job.name for job in plan.jobs)
    with output_root(plan.root) as session:
        whole = _joined(session, plan, given)
        attempts.clean_up_batch(whole)
        for job in plan.jobs:
            attempts.archive_foreign_files(job)
        selection = session.select(whole, What(names=names, again=given.rerun, limit=given.limit))
        code, here = _run_attached(session, whole, selection, given)
    if programs is None or code > SOME_DID_NOT or not here:
        return code
    attached = Namespace(**{**vars(given), "detach": False, "limit": None})
    with started(plan.root):
        code = max(code, run_new(programs, lambda: programs, attached))
        with output_root(plan.root) as session:  # the programs wrote results that the views sum up
            session.rebuild_views(session.recorded())
    return code


def resume(
    root: Path,
    given: Namespace,
    replan: Callable[[Plan], Plan] | None = None,
    what: What = EVERYTHING,
    settings: Mapping[str, str] = NOTHING,
) -> int:
    """Continue a batch: all jobs that did not complete, or those of `what`, with other `settings` if there are any.

    `replan` plans a sweep again from its spec, which may have changed since.
    """
    larger = other_settings.read("extend", given.extend or ())
    with existing_batch(root) as session:
        before = added.with_arguments(session.recorded().declaring(given.not_secret or ()))
        if not given.accept_moved:
            changes.refuse_moved(before)
        before = replace(before, options=before.options.updated(given_options(given)))
        plan = changes.replanned(before, replan(before), accept=given.accept_changes) if replan else before
        plan = search.with_numbers(plan, given.trials, given.search_confirm)
        # made just now, it has read its configs; a search that continues keeps the trials that it has
        is_new = plan is not before and "search" not in plan.origin
        plan = with_gpus(plan, given)
        records = session.records(plan)
        selection = session.select(plan, _which(plan, what, given.only))
        if given.only is not None and not selection.run and not larger:
            say(f"{shown(plan.root)}: no job to run is {given.only}", file=sys.stderr if given.json else None)
            return ALL_COMPLETED
        concerned = plan.jobs if larger else selection.run
        changes.refuse_secrets(plan, concerned)
        if before.moved_from is not None:
            _refuse_running(concerned)
            changes.refuse_missing(concerned)
        if not is_new:
            plan = changes.reread(plan, {one.name for one in concerned}, accept=given.accept_changes)
            selection = selection.of(plan)
        if settings or larger:
            if settings:
                changed = other_settings.with_settings(plan, selection, settings)
            else:
                changed = other_settings.extended(plan, selection, records, larger)
            plan, selection = changed.plan, changed.selection
            for note in changed.notes if not given.json else ():
                say(f"Note: {note}")
        selection = selection.limited(given.limit, session.records(plan) if given.limit else {})
        if given.dry_run:
            longer = {job.name for job in selection.extended}
            jobs = [_as_started(job, plan, continues=job.name in longer) for job in selection.run]
            return _show(replace(plan, jobs=tuple(jobs)), given)
        some = what.names is not None or given.only is not None
        return _run_attached(session, plan, selection, given, further=not some)[0]


def conclude(root: Path, given: Namespace) -> int:
    """End a batch that others have run: its summary, its report, its notifications. No job is started."""
    with existing_batch(root) as session:
        plan = session.recorded()
        nothing = session.select(plan, What(names=frozenset()))
        whole = replace(nothing, selected=frozenset(job.name for job in plan.jobs))
        return _run_attached(session, plan, whole, given, further=False)[0]


def _as_started(job: Job, plan: Plan, *, continues: bool) -> Job:
    """The job with the command that it would be started with now. `continues`: from its completed attempt."""
    known = continues or attempts.continues(job)
    checkpoint = latest_checkpoint(str(job.out_dir), plan.options.checkpoints) if known else None
    return replace(job, argv=attempts.command(job, checkpoint))


def rerun(
    root: Path,
    names: frozenset[str] | None,
    only: str | None,
    settings: Mapping[str, str],
    *,
    options: Sequence[str] = (),
) -> int:
    """Run jobs of a batch again, all of them if `names` is None; `only`: those that ended so.

    Their configs are read again: usually these were corrected since. `options` are words of a resume.
    """
    given = parser().parse_args(["--resume", str(root), "--accept_changes", *options])
    given.only = only
    return resume(root, given, what=What(names=names, again=only is None), settings=settings)


def _which(plan: Plan, what: What, only: str | None) -> What:
    """The jobs of a word of --only. Lost ones have no record, as pending ones: their folders tell them apart."""
    if only != "lost":
        return replace(what, only=only)
    jobs = [job for job in plan.jobs if what.names is None or job.name in what.names]
    lost = frozenset(job.name for job in jobs if results.unfinished(job.out_dir).status == LOST)
    return replace(what, only=PENDING, names=lost)


def _refuse_running(jobs: Sequence[Job]) -> None:
    """Raise UserError for jobs of a moved batch that run: they write to where it was."""
    found = {job.name: who for job in jobs if (who := supervisor_file.read(job.out_dir)) is not None and who.alive}
    if found:
        cause = "still runs, and writes to where the batch was"
        raise UserError(*(f"{name}: {cause}; stop it (pid {who.supervisor_pid})" for name, who in found.items()))


def _planned(arguments: Arguments, before: Plan | None = None) -> Plan:
    """The plan; its datasets are prepared, unless nothing may be written."""
    with announced("reading the configs ..."):
        plan = planning.plan(arguments, before)
        if before is None:
            plan = search.with_numbers(plan, arguments.given.trials, arguments.given.search_confirm)
        plan = oom_retry.with_notes(with_gpus(plan, arguments.given)) if before is None else plan
    if not arguments.given.dry_run:
        preflight.prepare_datasets(plan)
    return plan


def with_gpus(plan: Plan, given: Namespace) -> Plan:
    """The plan with its GPUs, or a note on those that it leaves alone. Raises UserError."""
    if not clusters.is_local(plan):
        return plan
    if not plan.options.gpus and not any(str(job.config.get("device", "")).startswith("cuda") for job in plan.jobs):
        return plan
    from runner.cli import gpu_choice  # its imports cost what only such batches need

    return gpu_choice.with_gpus(plan, given)


def _earlier(arguments: Arguments) -> Path | None:
    """The batch that is resumed. None: the spec has no experiment yet."""
    if arguments.given.exp is not None:
        return planning.earlier(arguments)
    return batch_folders.find(Path.cwd() / Path(arguments.given.base_out_dir).expanduser(), arguments.given.resume)


def _replanning(arguments: Arguments) -> Callable[[Plan], Plan] | None:
    return (lambda before: _planned(arguments, before)) if arguments.given.exp is not None else None


def _joined(session: BatchSession, plan: Plan, given: Namespace) -> Plan:
    """The plan, with the recorded jobs of earlier calls for its output root."""
    if not plan_file.exists(plan.root):
        return plan
    try:
        before = session.recorded()
        changes.refuse_moved(before)
        return tree.joined(plan, before)
    except UserError as error:  # the folder was moved, or is of another version: results are found all the same
        if not given.json:
            say(f"Note: {error.problems[0].partition(';')[0]}; a new record is started")
        return plan


def _run(session: BatchSession, plan: Plan, selection: Selection, given: Namespace) -> int:
    return _run_attached(session, plan, selection, given)[0]


def _run_attached(
    session: BatchSession, plan: Plan, selection: Selection, given: Namespace, *, further: bool = True
) -> tuple[int, bool]:
    """The exit code, and whether this process ran the batch: with --detach another one does.

    `further`: a search starts more trials than the selected ones.
    """
    errors = preflight.plugins(plan.options)  # of a resumed batch; nothing was written yet
    if errors := errors or clusters.problems(plan, selection.run):
        raise UserError(*errors)
    adjustments = oom_retry.adjustments(plan)  # from results that are archived next
    selection = session.begin(plan, selection)
    assert session.lock is not None
    if given.detach and not clusters.is_local(plan) and "search" not in plan.origin:
        cluster = EXECUTORS.get(plan.options.executor)(plan.options, Provenance(selection.run))
        return clusters.submit_and_leave(plan, selection, cluster), False
    if given.detach and (left := detach(plan, session.lock)) is not None:
        return left, False
    executor = EXECUTORS.get(plan.options.executor)(plan.options, Provenance(selection.run))
    observers = observers_for(given, observer_names(plan.options))
    room = 0 if not further else None if given.limit is None else given.limit - len(selection.run)
    source = search_jobs.source(plan, selection.keep, session.append, room)
    watching = observers if source is None else [*observers, source]
    ended = session.run(plan, selection, executor, watching, adjustments, source)
    with started(plan.root):
        search_jobs.finish(plan, ended.records, silent=given.json or given.quiet)
    if not (given.json or given.quiet or ended.signals) and (offer := _advice(plan, ended.records)):
        say(f"Note: {offer}")
    if plan.options.report:
        reporting = import_module("runner.cli.reporting")  # its imports cost what only such batches need
        whole = replace(plan, jobs=tuple(record.job for record in ended.records))
        say(reporting.at_end(whole), file=sys.stderr if given.json else None)
    if given.json and not plan.kind.quiet_json:
        try:
            print_json(summary(plan, ended.records, clock.now()))
            sys.stdout.flush()
        except OSError:  # nobody reads it any more: the exit code is that of the batch all the same
            silence(sys.stdout)
    return ended.exit_code(selection.selected), True


def _advice(plan: Plan, records: Sequence[Record]) -> str | None:
    """What would make the next batch quicker; None if nothing is known."""
    return warm_offer.sentence(plan, records) if clusters.is_local(plan) else clusters.advice(plan, records)


def _show(plan: Plan, given: Namespace) -> int:
    """Print what would be run."""
    completed = [] if given.rerun else [job.name for job in plan.jobs if results.finished(job) is not None]
    print_plan(plan, completed, as_json=given.json)
    if errors := clusters.problems(plan, plan.jobs):
        raise UserError(*errors)
    if not given.json:
        clusters.show(plan)
    return 0
