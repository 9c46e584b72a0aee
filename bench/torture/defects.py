"""Runners that are broken on purpose, each by a few lines that replace something of it. The torture test must see each.

The lines stand at the end of a module, where they give a new meaning to names that exist there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Defect:
    """`code` is added to the module, which must have all `names`; one of `accused` is the count that must see it."""

    name: str
    about: str
    module: str
    names: tuple[str, ...]
    code: str
    accused: tuple[str, ...]
    options: tuple[str, ...] = ()


DEFECTS = (
    Defect(
        "unsynced-records", "the bytes of a record are not synced", "runner/disk/atomic.py",
        ("os", "write_bytes"),
        """
        import stat as _stat
        _fsync = os.fsync
        def _only_folders(descriptor):
            if _stat.S_ISDIR(os.fstat(descriptor).st_mode):
                _fsync(descriptor)
        os.fsync = _only_folders
        """,
        ("not durable",),
    ),
    Defect(
        "unsynced-folders", "the folder of a record is not synced", "runner/disk/atomic.py", ("os", "write_bytes"),
        """
        import stat as _stat
        _fsync = os.fsync
        def _only_files(descriptor):
            if not _stat.S_ISDIR(os.fstat(descriptor).st_mode):
                _fsync(descriptor)
        os.fsync = _only_files
        """,
        ("not durable",),
    ),
    Defect(
        "in-place", "records are written in place, in two steps", "runner/disk/atomic.py", ("write_bytes",),
        """
        def write_bytes(path, content, **more):
            content = content if isinstance(content, bytes) else b"".join(content)
            with open(path, "wb", buffering=0) as file:
                file.write(content[:40])
                os.sched_yield()
                file.write(content[40:])
                os.fsync(file.fileno())
        """,
        ("unparsable", "not durable"),
    ),
    Defect(
        "no-lock", "the lock is not taken", "runner/disk/lock.py", ("Lock._take",),
        """
        Lock._take = lambda self, *more, **options: True
        """,
        ("two runners", "overlapping"),
    ),
    Defect(
        "attempts-deleted", "the files of earlier attempts are deleted", "runner/disk/attempts.py",
        ("archive_attempt", "layout.ATTEMPT"),
        """
        import shutil as _shutil
        _archive = archive_attempt
        def archive_attempt(job, **how):
            _archive(job, **how)
            for path in job.out_dir.glob(layout.ATTEMPT + "*"):
                _shutil.rmtree(path)
        """,
        ("not kept",),
    ),
    Defect(
        "tree-left", "what a job leaves is asked to end, and not killed", "runner/processes/process_tree.py",
        ("kill_below",),
        """
        def kill_below(root, *more, **options):
            return []
        """,
        ("strays",),
    ),
    Defect(
        "no-death-signal", "a job gets no signal when its supervisor dies", "runner/supervisor/spawn.py",
        ("prctl", "PR_SET_PDEATHSIG"),
        """
        _prctl = prctl
        def prctl(option, value):
            if option != PR_SET_PDEATHSIG:
                _prctl(option, value)
        """,
        ("orphans",), ("--double",),
    ),
    Defect(
        "no-marks", "processes of a job whose supervisor was killed are not looked for",
        "runner/processes/process_tree.py", ("marked",),
        """
        def marked(mark, *more, **options):
            return []
        """,
        ("strays", "overlapping"), ("--double",),
    ),
    Defect(
        "no-other-start", "without the process that forks supervisors none is started", "runner/executors/spawner.py",
        ("Spawner._give_up",),
        """
        def _give_up(self, error):
            raise error
        Spawner._give_up = _give_up
        """,
        ("wrong",), ("--double", "--kill_spawner"),
    ),
    Defect(
        "not-swept", "partly written files of a crash are not removed", "runner/disk/atomic.py", ("remove_partial",),
        """
        def remove_partial(folder, *more, **options):
            pass
        """,
        ("left over",),
    ),
    Defect(
        "never-adopted", "a job that lives is started again", "runner/executors/local.py", ("Local.adopt",),
        """
        Local.adopt = lambda self, job: None
        """,
        ("started again", "overlapping"), ("--keep_running",),
    ),
    Defect(
        "results-deleted", "a completed result is deleted now and then, when a batch is resumed",
        "runner/disk/attempts.py", ("clean_up_batch", "layout.RESULT", "results.finished"),
        """
        import random as _random
        _clean_up_batch = clean_up_batch
        def clean_up_batch(plan, *more, **options):
            _clean_up_batch(plan, *more, **options)
            for job in plan.jobs:
                if results.finished(job) is not None and _random.random() < 0.1:
                    (job.out_dir / layout.RESULT).unlink()
        """,
        ("lost", "run again"),
    ),
    Defect(
        "not-believed", "a completed job is run again now and then", "runner/disk/results.py",
        ("read_record", "finished", "COMPLETED"),
        """
        import random as _random
        _read_record, _finished = read_record, finished
        def read_record(job, *more, **options):
            found = _read_record(job, *more, **options)
            return Record(job) if found.status == COMPLETED and _random.random() < 0.25 else found
        def finished(job, *more, **options):
            found = _finished(job, *more, **options)
            return found if _random.random() < 0.25 else None
        """,
        ("run again", "lost"),
    ),
    Defect(
        "interrupted-completed", "a job that saved and left when it was stopped counts as completed",
        "runner/supervisor/outcome.py", ("ending",),
        """
        _ending = ending
        def ending(wait_status, stopped_because, *more, **options):
            return _ending(wait_status, None, *more, **options)
        """,
        ("wrong",),
    ),
    Defect(
        "failed-completed", "a job that failed counts as completed", "runner/supervisor/outcome.py",
        ("ending", "Ending"),
        """
        _ending = ending
        def ending(wait_status, *more, **options):
            return Ending("completed", 0) if wait_status == 3 << 8 else _ending(wait_status, *more, **options)
        """,
        ("wrong",),
    ),
    Defect(
        "killed-completed", "a job that is killed counts as completed", "runner/supervisor/outcome.py",
        ("ending", "Ending"),
        """
        _ending = ending
        def ending(wait_status, *more, **options):
            return Ending("completed", 0) if wait_status in (9, 15) else _ending(wait_status, *more, **options)
        """,
        ("wrong",), ("--triple",),
    ),
    Defect(
        "checkpoints-ignored", "a job that is resumed starts from the beginning", "runner/disk/attempts.py",
        ("latest_checkpoint",),
        """
        def latest_checkpoint(*more, **options):
            return None
        """,
        ("wrong",),
    ),
)  # fmt: skip
