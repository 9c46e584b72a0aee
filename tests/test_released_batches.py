"""What release 0.1.0 left on disk is listed, shown, tabled, loaded, resumed and served from the cache as it was then.

tests/data/0.1.0/README.md says how it was made. Only commands and public names are used here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

import runner
from tests.conftest import PROJECT, read
from tests.released import restore

STORED = PROJECT / "tests" / "data" / "0.1.0"
PROGRAM = PROJECT / "run_experiments.py"
PYTHON = ".venv/bin/python"
SAME_PYTHON = "/proc/self/cwd/.venv/bin/python"  # what the jobs of the Hydra sweep were started with
FOUR = {"completed": 1, "failed": 1, "interrupted": 1, "pending": 1}
#: name of a batch -> its state, and how many jobs have which status
BATCHES = {
    "files": ("stopped", {**FOUR, "completed": 2}),
    "limited": ("stopped", {"completed": 1, "pending": 1}),
    "lr_sweep": ("stopped", FOUR),
    "background_sweep": ("stopped", FOUR),
    "killed_sweep": ("dead", {"completed": 1, "failed": 1, "lost": 1, "pending": 1}),
    "outputs": ("stopped", FOUR),
}
SWEEP = {"run_000": 0.1, "run_001": 0.2, "run_002": 0.3, "run_003": 0.4}
#: name of a batch -> its jobs, each with the validation loss that it has once it is completed
LOSSES = {
    "files": {"1_complete": 0.1, "2_broken": 0.2, "3_retried": 0.3, "4_sleeper": 0.4, "5_waiting": 0.5},
    "limited": {"1_complete": 0.1, "5_waiting": 0.5},
    "lr_sweep": SWEEP,
    "background_sweep": SWEEP,
    "killed_sweep": SWEEP,
    "outputs": {
        "digits/1_complete": 0.1, "digits/deep/2_broken": 0.2, "letters/1_sleeper": 0.3, "letters/2_waiting": 0.4
    },
}  # fmt: skip
COMPLETED_THEN = {"1_complete", "3_retried", "run_000", "digits/1_complete"}
TREE = ("--config-root", "config", "--train_script", "job.py", "--runners", "programs")
HYDRA = (
    "-m", "app", "-m", "hydra/launcher=runner", "hydra.sweep.dir=sweep", "do=complete,fail,sleep,later",
    "hydra.launcher.resume=true",
)  # fmt: skip


class Released:
    """A workspace of 0.1.0, brought back into a folder of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        restore(STORED / name, folder)
        self.folder = folder

    def run(self, *command: str | Path, code: int = 0) -> str:
        """Run a command in the workspace; returns its standard output."""
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TERM": "dumb"}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def experiments(self, *words: str, code: int = 0) -> str:
        return self.run(PYTHON, PROGRAM, *words, code=code)

    def repair(self) -> None:
        """From now on every job completes."""
        (self.folder / "repaired").touch()

    @property
    def starts(self) -> list[str]:
        """A line for each job that was started since the workspace was brought back, in order."""
        path = self.folder / "starts"
        return path.read_text().splitlines() if path.exists() else []

    def batch(self, name: str) -> Path:
        """The folder of a batch; `name` is without date and time."""
        if name == "outputs":
            return self.folder / name
        (found,) = (self.folder / "experiments").glob(f"{name}_2*")
        return found

    def status(self, batch: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.experiments("status", str(batch), "--json"))
        return found


@pytest.fixture
def batches(tmp_path: Path) -> Released:
    return Released("batches", tmp_path)


@pytest.fixture
def hydra(tmp_path: Path) -> Released:
    pytest.importorskip("hydra")
    return Released("hydra", tmp_path)


@pytest.fixture
def library(tmp_path: Path) -> Released:
    return Released("library", tmp_path)


def counted(jobs: Iterable[dict[str, Any]]) -> dict[str, int]:
    return dict(Counter(str(job["status"]) for job in jobs))


def first_words(lines: Sequence[str]) -> list[str]:
    return [line.split()[0] for line in lines]


def not_completed_then(name: str) -> list[str]:
    return [job for job in LOSSES[name] if job not in COMPLETED_THEN]


def assert_all_completed(work: Released, name: str) -> None:
    """All jobs of the batch are completed, by the table, their results and the summary, with the right losses."""
    root = work.batch(name)
    table = {row["name"]: row["status"] for row in runner.load_results(root)}
    assert {job: table[job] for job in LOSSES[name]} == dict.fromkeys(LOSSES[name], "completed")
    for job, lr in LOSSES[name].items():
        result = read(root / job / "experiment_result.json")
        assert (result["status"], result["return_code"]) == ("completed", 0)
        assert result["final_metrics"]["val/loss"] == pytest.approx(lr)
        assert result["run_dir"] == f"runs/{Path(job).name}"
    summary = read(root / "experiment_summary.json")
    assert (summary["completed"], summary["total_experiments"]) == (len(LOSSES[name]), len(LOSSES[name]))


def test_nothing_stored_names_a_machine() -> None:
    elsewhere = [b"/tmp/", b"/home/", b"/root/", b"/Users/", b"/var/"]
    files = [path for path in STORED.rglob("*") if path.is_file() and path.suffix not in (".md", ".py")]
    assert len(files) > 200
    assert [path for path in files if any(word in path.read_bytes() for word in elsewhere)] == []
    assert sum(path.stat().st_size for path in files) < 1_000_000


def test_every_batch_is_listed_with_its_state_and_its_jobs(batches: Released) -> None:
    found = {batch["name"].rpartition("_2")[0]: batch for batch in json.loads(batches.experiments("list", "--json"))}
    states = {name: (batch["state"], counted(batch["jobs"].values())) for name, batch in found.items()}
    assert states == {name: about for name, about in BATCHES.items() if name != "outputs"}
    text = batches.experiments("list").splitlines()
    assert sorted(first_words(text)) == sorted(batch["name"] for batch in found.values())


@pytest.mark.parametrize("name", ["killed_sweep", "outputs"])
def test_the_status_of_a_batch_is_shown(batches: Released, name: str) -> None:
    root, (state, jobs) = batches.batch(name), BATCHES[name]
    found = batches.status(root)
    assert (found["state"], counted(found["jobs"].values()), found["runner"]) == (state, jobs, None)
    assert list(found["jobs"]) == list(LOSSES[name])


def test_the_status_of_a_batch_has_a_line_for_each_job(batches: Released) -> None:
    text = batches.experiments("status", str(batches.batch("files")))
    words = {line.split()[0]: line.split()[1] for line in text.splitlines()[1:]}
    assert list(words) == list(LOSSES["files"])
    assert list(words.values()) == ["completed", "failed", "completed", "interrupted", "pending"]


def test_a_job_of_two_attempts_is_shown_with_the_later_one(batches: Released) -> None:
    jobs = batches.status(batches.batch("files"))["jobs"]
    assert [jobs[name].get("attempt") for name in LOSSES["files"]] == [1, 2, 2, 1, None]
    assert jobs["3_retried"]["final_metrics"]["val/loss"] == pytest.approx(0.3)
    assert read(batches.batch("files") / "3_retried/attempt_1/experiment_result.json")["status"] == "failed"


def test_the_output_of_a_job_and_of_a_batch_is_followed_to_its_end(batches: Released) -> None:
    output = batches.experiments("tail", str(batches.batch("lr_sweep")), "run_002")
    assert "step 2: train loss 0.15" in output
    assert "run_002" in batches.experiments("attach", str(batches.batch("lr_sweep")))
    assert "step 2: train loss 0.15" in batches.experiments("tail", "latest")  # of the last job that was started


def test_all_jobs_are_in_one_table_and_are_loaded(batches: Released) -> None:
    folders = [str(batches.folder / name) for name in ("experiments", "outputs")]
    rows = json.loads(batches.experiments("table", *folders, "--json"))
    loaded = runner.load_results(*folders)
    jobs = sum(len(jobs) for jobs in LOSSES.values())
    assert len(rows) == len(loaded) == jobs + 1  # and the run of the program of the user's own
    assert [row["name"] for row in rows] == [row["name"] for row in loaded]
    assert counted(loaded) == {"completed": 8, "failed": 5, "interrupted": 4, "pending": 6, "lost": 1}
    for row in loaded:
        if row["status"] not in ("pending", "lost") and "own" not in row["name"]:
            assert row["val/loss"] == pytest.approx(row["lr"])
    text = batches.experiments("table", str(batches.batch("lr_sweep")), "--columns", "name", "lr", "status")
    assert [line.split()[-3:] for line in text.splitlines() if line.startswith("run_")] == [
        ["run_000", "0.1", "completed"],
        ["run_001", "0.2", "failed"],
        ["run_002", "0.3", "interrupted"],
        ["run_003", "0.4", "pending"],
    ]


@pytest.mark.parametrize("name", ["limited", "background_sweep", "killed_sweep", "outputs"])
def test_a_resume_runs_what_did_not_complete_and_nothing_else(batches: Released, name: str) -> None:
    batches.repair()
    batches.experiments("--resume", str(batches.batch(name)))
    assert first_words(batches.starts) == [Path(job).name for job in not_completed_then(name)]
    assert_all_completed(batches, name)


@pytest.mark.parametrize("name", ["files", "killed_sweep"])
def test_a_batch_that_was_moved_with_its_project_is_read_and_continued(batches: Released, name: str) -> None:
    batches.repair()
    batches.folder = batches.folder.rename(batches.folder.with_name(f"{name}_moved"))
    assert counted(batches.status(batches.batch(name))["jobs"].values()) == BATCHES[name][1]
    batches.experiments("--resume", str(batches.batch(name)), code=2)
    batches.experiments("--resume", str(batches.batch(name)), "--accept_moved")
    assert first_words(batches.starts) == [Path(job).name for job in not_completed_then(name)]
    assert_all_completed(batches, name)


def test_a_resume_continues_from_checkpoints_and_a_second_one_has_nothing_to_do(batches: Released) -> None:
    batches.repair()
    batches.experiments("--resume", str(batches.batch("files")))
    batches.experiments("--resume", str(batches.batch("files")))
    assert first_words(batches.starts) == not_completed_then("files")
    assert_all_completed(batches, "files")
    assert batches.status(batches.batch("files"))["state"] == "done"
    words = {line.split()[0]: line.split()[1:] for line in batches.starts}
    folder = batches.batch("files")
    assert words["4_sleeper"] == ["--seed=3", "--load", str(folder / "4_sleeper" / "ckpt_2.pt")]
    assert words["5_waiting"] == ["--seed=3"]
    assert read(folder / "4_sleeper/experiment_result.json")["attempt"] == 2
    assert read(folder / "4_sleeper/attempt_1/experiment_result.json")["status"] == "interrupted"
    assert read(folder / "2_broken/experiment_result.json")["attempt"] == 3


def test_a_batch_whose_jobs_still_fail_reports_it(batches: Released) -> None:
    batches.experiments("--resume", str(batches.batch("lr_sweep")), "--only", "failed", code=1)
    assert first_words(batches.starts) == ["run_001"]
    assert counted(batches.status(batches.batch("lr_sweep"))["jobs"].values()) == FOUR


def test_a_sweep_is_resumed_by_its_spec(batches: Released) -> None:
    batches.repair()
    batches.experiments("--exp", "specs/lr_sweep.yaml", "--resume")
    assert first_words(batches.starts) == ["run_001", "run_002", "run_003"]
    assert_all_completed(batches, "lr_sweep")
    runs = read(batches.batch("lr_sweep") / "experiment.json")["runs"]
    assert [run["status"] for run in runs] == ["completed"] * 4


def test_a_tree_is_continued_by_the_same_command(batches: Released) -> None:
    counts = batches.folder / "outputs/_aggregate/aggregate_success_counts.json"
    before = read(counts)["totals"]
    assert (before["runs"], before["completed"], before["adversarial_unknown_runs"]) == (5, 2, 3)
    batches.repair()
    batches.experiments(*TREE)
    assert first_words(batches.starts) == ["2_broken", "1_sleeper", "2_waiting", "run_own"]
    assert_all_completed(batches, "outputs")
    totals = read(counts)["totals"]
    assert totals["by_status"] == {"completed": 5}
    assert (totals["adversarial_success"], totals["adversarial_total"]) == (13, 42)
    assert (totals["ood_success"], totals["ood_total"]) == (17, 24)


@pytest.mark.parametrize(("name", "job", "attempt"), [("files", "3_retried", 3), ("outputs", "digits/1_complete", 2)])
def test_a_completed_job_is_run_again_as_a_new_attempt(batches: Released, name: str, job: str, attempt: int) -> None:
    batches.repair()
    batches.experiments("rerun", str(batches.batch(name)), job)
    assert first_words(batches.starts) == [Path(job).name]
    folder = batches.batch(name) / job
    assert read(folder / "experiment_result.json")["attempt"] == attempt
    assert read(folder / f"attempt_{attempt - 1}" / "experiment_result.json")["status"] == "completed"


def test_a_run_in_the_background_is_listed_and_its_log_is_there(batches: Released) -> None:
    program = PROJECT / "scripts" / "run_background.py"
    (run,) = json.loads(batches.run(PYTHON, program, "--list", "--json"))
    assert (run["state"], run["pid"], run["spec"]) == ("stopped", None, "specs/background_sweep.yaml")
    assert run["experiment_dir"] == str(batches.batch("background_sweep"))
    log = batches.folder / "background_runs" / run["name"] / "nohup.log"
    assert "run_002" in log.read_text()
    batches.run(PYTHON, program, "--stop", run["name"])  # nobody runs it: there is nothing to do


def test_a_hydra_sweep_is_shown_tabled_and_loaded(hydra: Released) -> None:
    found = hydra.status(hydra.folder / "sweep")
    assert (found["state"], counted(found["jobs"].values())) == ("stopped", FOUR)
    rows = json.loads(hydra.experiments("table", "sweep", "--json"))
    assert [(row["name"], row["do"], row["status"]) for row in rows] == [
        ("0", "complete", "completed"),
        ("1", "fail", "failed"),
        ("2", "sleep", "interrupted"),
        ("3", "later", "pending"),
    ]
    loaded = runner.load_results(hydra.folder / "sweep")
    assert [row.get("val/loss") for row in loaded] == [0.5, None, None, None]
    assert loaded[0]["model.width"] == 3
    assert [row.get("loss") for row in loaded] == [0.5, None, None, None]  # what the functions returned


@pytest.mark.linux
def test_a_hydra_sweep_is_resumed_by_its_own_command(hydra: Released) -> None:
    hydra.repair()
    hydra.run(SAME_PYTHON, *HYDRA)
    assert hydra.starts == ["1 fail", "2 sleep", "3 later"]  # what job 0 returned was read back, or it would run, too
    rows = runner.load_results(hydra.folder / "sweep")
    assert [(row["name"], row["status"], row["val/loss"]) for row in rows] == [
        (str(number), "completed", 0.5) for number in range(4)
    ]
    results = [read(hydra.folder / f"sweep/{number}/experiment_result.json") for number in range(4)]
    assert [result["attempt"] for result in results] == [1, 2, 2, 1]


def test_a_job_of_a_hydra_sweep_is_run_from_what_the_sweep_wrote_down_for_it(hydra: Released) -> None:
    hydra.experiments("--resume", "sweep", "--only", "pending", code=1)  # the others did not complete
    assert hydra.starts == ["3 later"]
    found = hydra.status(hydra.folder / "sweep")
    assert found["state"] == "stopped"
    assert counted(found["jobs"].values()) == {"completed": 2, "failed": 1, "interrupted": 1}


def rows_of(library: Released, module: str, name: str) -> list[list[Any]]:
    """`results()` of an experiment: name, status, loss and whether it is stale."""
    columns = "[row['name'], row['status'], row.get('loss'), row['stale']]"
    code = f"import json, {module}; print(json.dumps([{columns} for row in {module}.{name}.results()]))"
    found: list[list[Any]] = json.loads(library.run(PYTHON, "-c", code))
    return found


def test_the_results_of_the_library_are_loaded(library: Released) -> None:
    assert rows_of(library, "main", "experiment") == [
        ["complete", "completed", 0.2, False],
        ["equal", "completed", 0.2, False],
        ["broken", "failed", None, None],
        ["sleeper", "missing", None, None],
        ["waiting", "missing", None, None],
        ["isolated", "completed", 1.2, False],
    ]
    statuses = {row["name"].rpartition("-")[0]: row["status"] for row in runner.load_results(library.folder / "out")}
    assert {name for name, status in statuses.items() if status == "completed"} == {
        "complete", "equal", "isolated", "old"
    }  # fmt: skip
    assert statuses["broken"] == "failed"
    assert library.starts == []


def test_the_library_computes_what_is_missing_and_nothing_else(library: Released) -> None:
    assert library.run(PYTHON, "main.py", "--report", code=1) == ""
    assert library.starts == []
    library.repair()
    reported = library.run(PYTHON, "main.py")
    assert library.starts == ["broken", "sleeper", "waiting"]
    expected = "complete 0.2\nequal 0.2\nbroken 0.4\nsleeper 0.6\nwaiting 0.8\nisolated 1.2\n"
    assert reported == expected
    assert library.run(PYTHON, "main.py", "--report") == expected
    assert library.run(PYTHON, "-c", "import main; print(len(main.experiment.run()))") == f"{expected}6\n"
    assert len(library.starts) == 3
    (broken,) = (library.folder / "out").glob("broken-*")
    assert [read(broken / f"attempt_{number}" / "meta.json")["status"] for number in (1, 2)] == ["failed", "failed"]


def test_the_library_knows_a_result_of_other_code(library: Released) -> None:
    assert rows_of(library, "changed", "changed") == [["old", "completed", 1.0, True]]
    assert library.run(PYTHON, "changed.py") == "old 1.0\n"
    assert library.starts == []
    assert library.run(PYTHON, "changed.py", "--code", "rerun") == "old 1.5\n"
    assert library.starts == ["old"]
