"""A tree of configs, run again: the same command, beside another one, after a stop; users' programs."""

from __future__ import annotations

import json
import shutil
import signal

import pytest

from runner.planners.programs import THIN
from tests.conftest import PROJECT, Workspace, read, wait_until
from tests.trees import ADDED, ALL, DOCUMENTED, SCRIPT, aggregate, done, files, prepare, run_program, tree

pytestmark = pytest.mark.slow

__all__ = ["tree"]  # a fixture


# Again


def test_the_same_command_runs_only_what_has_no_result(tree: Workspace) -> None:
    tree.write("config/IMAGE/a.yaml", "fail: true\n")
    run_program(tree, "run_all", *SCRIPT, code=1)
    run_program(tree, "run_all", *SCRIPT, code=1)
    assert done(tree).count("outputs/IMAGE/a") == 2 and len(done(tree)) == 4
    assert (tree / "outputs/IMAGE/a/attempt_1/raw/records.jsonl").exists()


def test_a_dry_run_shows_what_is_completed(tree: Workspace) -> None:
    run_program(tree, "run_IMAGE", *SCRIPT, code=0)
    out = run_program(tree, "run_all", *SCRIPT, "--dry-run", code=0).stdout
    assert "2 of them completed earlier and would not run again" in out and out.count(", completed\n") == 2


def test_a_changed_config_runs_from_scratch_and_mixes_nothing(tree: Workspace) -> None:
    run_program(tree, "run_IMAGE", *SCRIPT, code=0)
    old = (tree / "outputs/IMAGE/a/raw/features/scores.npy").read_bytes()
    (tree / "outputs/IMAGE/a/notes-of-mine.txt").write_text("mine")
    tree.write("config/IMAGE/a.yaml", "seed: 8\n")
    run_program(tree, "run_IMAGE", *SCRIPT, code=0)
    assert done(tree).count("outputs/IMAGE/a") == 2 and done(tree).count("outputs/IMAGE/deep/b") == 1
    folder = tree / "outputs/IMAGE/a"
    assert (folder / "attempt_1/raw/features/scores.npy").read_bytes() == old
    assert (folder / "raw/features/scores.npy").read_bytes() != old
    assert {name for name in files(folder) if not name.startswith("attempt_1/")} == DOCUMENTED | ADDED
    assert (folder / "attempt_1/notes-of-mine.txt").read_text() == "mine"


def test_files_of_another_program_in_a_folder_are_archived(tree: Workspace) -> None:
    tree.write("outputs/IMAGE/a/metrics/success_counts.json", "old")
    run_program(tree, "run_IMAGE", *SCRIPT, code=0)
    assert (tree / "outputs/IMAGE/a/attempt_1/metrics/success_counts.json").read_text() == "old"
    assert aggregate(tree)["runs"][0]["adversarial_success"] == 12


def test_rerun_runs_everything_again(tree: Workspace) -> None:
    for words in ((), ("--rerun",)):
        run_program(tree, "run_IMAGE", *SCRIPT, *words, code=0)
    assert len(done(tree)) == 4
    assert read(tree / "outputs/IMAGE/a/experiment_result.json")["attempt"] == 2


def test_one_subdirectory_leaves_the_record_of_the_others_alone(tree: Workspace) -> None:
    tree.write("config/my-set/c.yaml", "fail: true\n")
    run_program(tree, "run_all", *SCRIPT, code=1)
    run_program(tree, "run_IMAGE", *SCRIPT, code=0)  # the exit code is about the requested jobs
    assert [row["run"] for row in aggregate(tree)["runs"]] == ["IMAGE/a", "IMAGE/deep/b", "my-set/c"]
    assert aggregate(tree)["totals"]["by_status"] == {"completed": 2, "failed": 1}
    (tree / "config/my-set/c.yaml").unlink()
    run_program(tree, "run_IMAGE", *SCRIPT, code=0)
    assert aggregate(tree)["totals"]["runs"] == 2 and (tree / "outputs/my-set/c").exists()


def test_commands_about_a_batch_work_on_an_output_root(tree: Workspace) -> None:
    tree.write("config/IMAGE/a.yaml", "fail: true\n")
    run_program(tree, "run_all", *SCRIPT, code=1)
    found = json.loads(tree.run("status", "outputs", "--json", code=0).stdout)
    assert {name: job["status"] for name, job in found["jobs"].items()} == {
        "IMAGE/a": "failed", "IMAGE/deep/b": "completed", "my-set/c": "completed",
    }  # fmt: skip
    assert "outputs" in tree.run("list", "--base_out_dir", ".", code=0).stdout
    tree.run("--resume", "outputs", code=1)
    tree.run("rerun", "outputs", "my-set/c", code=0)
    assert done(tree).count("outputs/IMAGE/a") == 2 and done(tree).count("outputs/my-set/c") == 2


def test_two_at_once_on_one_output_root_are_kept_apart(work: Workspace) -> None:
    prepare(work, IMAGE__a="wait: go")
    process = work.start(*ALL)
    wait_until((work / "outputs/IMAGE/a/started").exists, "the first runs")
    second = run_program(work, "run_IMAGE", *SCRIPT, code=75)
    assert "outputs: is locked by another runner (pid" in second.stderr and len(second.stderr.splitlines()) == 1
    (work / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0 and len(done(work)) == 1


def test_ctrl_c_stops_what_runs_and_the_same_command_continues(work: Workspace) -> None:
    prepare(work, IMAGE__a="wait: go", IMAGE__b="seed: 1")
    process = work.start(*ALL, "--grace", "1,1,1")
    wait_until((work / "outputs/IMAGE/a/started").exists, "the first runs")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [row["status"] for row in aggregate(work)["runs"]] == ["interrupted", "pending"]
    (work / "go").touch()
    work.run(*ALL, code=0)
    assert [row["status"] for row in aggregate(work)["runs"]] == ["completed", "completed"]


def test_a_runner_that_was_killed_is_followed_by_the_same_command(work: Workspace) -> None:
    prepare(work, IMAGE__a="wait: go", IMAGE__b="seed: 1")
    process = work.start(*ALL, "--grace", "1,1,1")
    wait_until((work / "outputs/IMAGE/a/started").exists, "the first runs")
    process.kill()
    process.communicate()
    (work / "go").touch()
    work.run(*ALL, code=0)
    assert aggregate(work)["totals"]["by_status"] == {"completed": 2}


def test_the_background(work: Workspace) -> None:
    prepare(work, IMAGE__a="wait: go")
    out = work.run(*ALL, "--detach", code=0).stdout
    assert "stop outputs" in out
    wait_until((work / "outputs/IMAGE/a/started").exists, "it runs")
    assert "running" in work.run("status", "outputs", code=0).stdout
    (work / "go").touch()
    wait_until(lambda: "done;" in work.run("status", "outputs", code=0).stdout, "it is done")


# A program of the user's own for a subdirectory


FOREIGN = """\
import json, pathlib, sys
open('invoked', 'w').write(json.dumps(sys.argv))
root = sys.argv[sys.argv.index('--output-root') + 1]
folder = pathlib.Path(root, 'my-set', 'c', 'metrics'); folder.mkdir(parents=True, exist_ok=True)
(folder / 'success_counts.json').write_text(json.dumps({'adversarial_success': 1, 'adversarial_total': 2}))
(folder.parent / 'metadata.json').write_text(json.dumps({'status': 'completed', 'duration_seconds': 2.5}))
print('a program of my own')
"""


@pytest.fixture
def own(tree: Workspace) -> Workspace:
    """A workspace whose runners/ is a folder of its own."""
    (tree / "runners").unlink()
    for name in ("run_all.py", "run_IMAGE.py", "runner_lib.py"):
        tree.write(f"runners/{name}", "")
        (tree / "runners" / name).unlink()
        (tree / "runners" / name).symlink_to(PROJECT / "runners" / name)
    return tree


def test_a_program_of_the_users_is_invoked_with_the_documented_flags(own: Workspace) -> None:
    own.write("runners/run_my-set.py", FOREIGN)
    words = ("--max-workers", 2, "--ignore", "*x*", "--device", "cpu", "--export-features", "npy", "--verbose")
    out = run_program(own, "run_all", *SCRIPT, *words, code=0).stdout
    assert "my-set is run by runners/run_my-set.py" in out
    assert json.loads((own / "invoked").read_text()) == [
        "runners/run_my-set.py", "--config-root", "config", "--output-root", "outputs", "--max-workers", "2",
        "--ignore", "*x*", "--verbose", "--device", "cpu", "--export-features", "npy",
    ]  # fmt: skip
    assert sorted(done(own)) == ["outputs/IMAGE/a", "outputs/IMAGE/deep/b"]
    rows = {row["run"]: row for row in aggregate(own)["runs"]}
    assert (rows["my-set/c"]["adversarial_success"], rows["my-set/c"]["status"]) == (1, "completed")
    assert "a program of my own" in next(own.folder.glob("outputs/_runners/2*/run_my-set/stdout.log")).read_text()


def test_a_program_that_fails_makes_the_exit_code_1(own: Workspace) -> None:
    own.write("runners/run_my_set.py", "raise SystemExit('no')")
    assert "run_my-set: failed" in run_program(own, "run_all", *SCRIPT, code=1).stdout
    (row,) = [row for row in aggregate(own)["runs"] if row["run"] == "my-set/c"]
    assert (row["status"], row["error"]) == ("failed", "runners/run_my_set.py: exit code 1: no")
    own.write("runners/run_my_set.py", "")  # this one is content
    run_program(own, "run_all", *SCRIPT, code=0)
    (row,) = [row for row in aggregate(own)["runs"] if row["run"] == "my-set/c"]
    assert row["status"] == "unknown" and "completed, and left no metadata.json" in row["error"]


def test_a_dry_run_names_the_configs_of_a_program_and_invokes_none_that_would_work(own: Workspace) -> None:
    own.write("runners/run_my-set.py", FOREIGN)
    out = run_program(own, "run_all", *SCRIPT, "--dry-run", code=0).stdout
    assert "my-set is run by runners/run_my-set.py" in out and not (own / "invoked").exists()
    assert "my-set/c\n   folder   outputs/my-set/c\n   It is not asked" in out


def test_a_dry_run_asks_a_program_that_takes_the_flag(own: Workspace) -> None:
    own.write("runners/run_my-set.py", "import sys\nprint('would run c', '--dry-run' in sys.argv, sys.argv[1:5])\n")
    out = run_program(own, "run_all", *SCRIPT, "--dry-run", code=0).stdout
    assert "would run c True ['--config-root', 'config', '--output-root', 'outputs']" in out
    assert not (own / "outputs").exists()
    own.write("runners/run_my-set.py", "import sys\nsys.exit('--dry-run is not possible')\n")
    assert "Its dry run ended with exit code 1" in run_program(own, "run_all", *SCRIPT, "--dry-run", code=1).stdout


@pytest.mark.slow
def test_a_program_made_of_ours_runs_in_the_same_root(own: Workspace) -> None:
    shutil.rmtree(own / "config/IMAGE")
    own.write("config/my-set/c.yaml", "pipeline: classify\nepochs: 1\nwidth: 16\n")
    text = THIN.replace("str(Path(__file__).resolve().parent.parent)", repr(str(PROJECT)))
    own.write("runners/run_my-set.py", text.replace("(__file__)", "(__file__, seed=40)"))
    run_program(own, "run_all", code=0)
    assert read(own / "outputs/my-set/c/experiment_metadata.json")["config"]["seed"] == 40
    assert [(row["run"], row["status"]) for row in aggregate(own)["runs"]] == [("my-set/c", "completed")]
    run_program(own, "run_all", code=0)
    assert read(own / "outputs/my-set/c/experiment_result.json")["attempt"] == 1
