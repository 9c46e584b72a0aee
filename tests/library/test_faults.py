"""The library's cache under what happens at night: kills, signals, damaged files, two processes at once."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Workspace, alive, kill, wait_until
from tests.library_script import computed, folder, meta, run, script, start

pytestmark = pytest.mark.slow

#: Reports that it has started, then waits until it may continue.
WAITS = "Path(f'began_{config.name}').touch()\nwhile not Path('go').exists(): time.sleep(0.01)\nreturn config.x"
ONE = "[{'name': 'a', 'x': 1}]"


def started(work: Workspace, *words: str, name: str = "a") -> subprocess.Popen[str]:
    process = start(work, *words)
    wait_until((work / f"began_{name}").exists, "the config is being computed")
    return process


@pytest.mark.parametrize("words", [(), ("--isolate",)], ids=["in-process", "isolated"])
def test_two_processes_compute_each_config_once(work: Workspace, words: tuple[str, ...]) -> None:
    script(work, WAITS)
    first = started(work, *words)
    second = start(work, *words)
    assert second.stderr is not None
    assert any("a: waiting for pid" in line for line in second.stderr)
    (work / "go").touch()
    for process in (first, second):
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 0 and out == "['a', 'b'] [1, 2]\n"
    assert sorted(computed(work)) == ["a", "b"]


@pytest.mark.parametrize("words", [(), ("--isolate",)], ids=["in-process", "isolated"])
def test_a_killed_script_leaves_nothing_that_a_later_run_trips_over(work: Workspace, words: tuple[str, ...]) -> None:
    script(work, "(config.out_dir / 'plots').mkdir()\n" + WAITS)
    kill(started(work, *words))
    (work / "go").touch()
    assert run(work).stdout == "['a', 'b'] [1, 2]\n"
    assert computed(work) == ["a", "a", "b"]
    assert (folder(work, "a") / "plots").is_dir() and (folder(work, "a") / "attempt_1" / "plots").is_dir()
    run(work, "--report")


def test_an_isolated_config_whose_script_was_killed_is_not_computed_beside_itself(work: Workspace) -> None:
    """Its supervisor gives it time to save; a new run waits for its end."""
    body = (
        "Path('pid').write_text(str(os.getpid()))\nPath('began_a').touch()\n"
        "try:\n    while not Path('go').exists(): time.sleep(0.01)\n"
        "except KeyboardInterrupt:\n    Path('saving').touch()\n"
        "    while not Path('saved').exists(): time.sleep(0.01)\n    raise\n"
        "return Path('saved').exists()"
    )
    script(work, body, ONE)
    kill(started(work, "--isolate"))
    wait_until((work / "saving").exists, "the config was told to save")
    before = int((work / "pid").read_text())
    (work / "go").touch()
    again = start(work)
    lock = next((work / "out" / ".runner" / "locks").iterdir())
    wait_until(lambda: held(lock) and lock.stat().st_size, "the new run has the lock")
    assert alive(before) and computed(work) == ["a"]
    (work / "saved").touch()
    assert again.communicate(timeout=30)[0] == "['a'] [True]\n" and computed(work) == ["a", "a"]


def held(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.parametrize("words", [(), ("--isolate",), ("--workers", "2")])
def test_ctrl_c_ends_the_running_config_and_reports_what_is_left(work: Workspace, words: tuple[str, ...]) -> None:
    script(work, "try:\n    " + WAITS.replace("\n", "\n    ") + "\nfinally: Path(f'left_{config.name}').touch()")
    process = started(work, *words)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and out == "" and "Traceback" not in err
    assert "Left to do: a, b" in err and "--grace" not in err and (work / "left_a").exists()
    assert not list((work / "out").rglob("result.pkl"))
    (work / "go").touch()
    assert run(work).stdout == "['a', 'b'] [1, 2]\n"


def test_ctrl_c_between_two_configs_keeps_the_first(work: Workspace) -> None:
    script(work, "if config.x == 2:\n    Path('began_b').touch()\n    time.sleep(60)\nreturn config.x")
    process = started(work, name="b")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Left to do: b." in err
    assert meta(folder(work, "a"))["status"] == "completed"


def test_an_old_result_is_kept_until_the_new_one_is_written(work: Workspace) -> None:
    script(work, "if os.environ.get('WAIT'):\n    " + WAITS.replace("\n", "\n    ") + "\nreturn config.x", ONE)
    run(work)
    old = meta(folder(work, "a"))
    for stop in (signal.SIGKILL, signal.SIGINT):
        (work / "began_a").unlink(missing_ok=True)
        process = start(work, "--rerun", WAIT="1")
        wait_until((work / "began_a").exists, "it is computed again")
        assert not (folder(work, "a") / "meta.json").exists()
        process.send_signal(stop)
        process.communicate(timeout=30)
        assert run(work, "--report").stdout == "['a'] [1]\n"
        assert meta(folder(work, "a")) == old
    run(work, "--rerun")
    assert meta(folder(work, "a"))["start_time"] > old["start_time"]
    assert not list((work / "out" / ".runner" / "aside").iterdir())


def test_an_isolated_rerun_whose_script_was_killed_is_waited_for_and_the_old_result_is_kept(work: Workspace) -> None:
    script(work, "if os.environ.get('WAIT'):\n    " + WAITS.replace("\n", "\n    ") + "\nreturn config.x", ONE)
    run(work)
    old = meta(folder(work, "a"))
    process = start(work, "--rerun", "--isolate", WAIT="1")
    wait_until((work / "began_a").exists, "it is computed again")
    kill(process)
    assert run(work).stdout == "['a'] [1]\n"
    assert meta(folder(work, "a")) == old and computed(work) == ["a", "a"]
    assert (folder(work, "a") / "attempt_1" / "experiment_result.json").exists()


def test_a_failed_rerun_is_reported_until_a_new_result_exists(work: Workspace) -> None:
    script(work, "if os.environ.get('FAIL'): raise ValueError('now it fails')\nreturn config.x", ONE)
    run(work)
    run(work, "--rerun", code=1, FAIL="1")
    assert (folder(work, "a") / "error.json").exists()
    (aside,) = (work / "out" / ".runner" / "aside").iterdir()
    assert (aside / "result.pkl").exists()
    run(work, "--report", code=1)
    run(work)
    assert computed(work) == ["a"] * 3 and not aside.exists()


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "one bit": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["result.pkl", "meta.json"])
def test_a_damaged_file_is_archived_and_the_config_computed_again(work: Workspace, damage: str, name: str) -> None:
    script(work, "return config.x", ONE)
    run(work)
    DAMAGES[damage](folder(work, "a") / name)
    assert run(work, "--report", code=1).stdout == "" and computed(work) == ["a"]
    done = run(work)
    assert done.stdout == "['a'] [1]\n" and computed(work) == ["a", "a"]
    assert (folder(work, "a") / "attempt_1").is_dir()
    assert ("computed again" in done.stderr) == (damage != "gone" or name == "result.pkl")
    run(work)
    assert computed(work) == ["a", "a"]


def test_a_result_of_another_config_is_no_hit(work: Workspace) -> None:
    """Somebody renamed a folder, or the hashes of two configs meet: the stored config is compared."""
    script(work, "return config.x", ONE)
    run(work)
    path = folder(work, "a") / "meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "config": {"x": 1.0}}))
    assert "is of another config" in run(work).stderr and computed(work) == ["a", "a"]


def test_a_pickle_without_its_checksum_is_never_loaded(work: Workspace) -> None:
    script(work, "return config.x", ONE)
    run(work)
    planted = b"cposix\nsystem\n(S'touch planted'\ntR."
    (folder(work, "a") / "result.pkl").write_bytes(planted)
    run(work)
    assert not (work / "planted").exists() and computed(work) == ["a", "a"]


def test_a_full_disk_ends_one_config_and_not_the_others(work: Workspace) -> None:
    """A full disk is imitated by a folder that cannot be made: a file is in its place."""
    script(work, "return config.x")
    run(work)
    for path in folder(work, "a").iterdir():
        path.unlink()
    place = folder(work, "a")
    place.rmdir()
    place.touch()
    done = run(work, code=1)
    assert "No result: a (" in done.stderr and "Traceback" not in done.stderr
    assert run(work, "--report", "--only", "b").stdout == "['b'] [2]\n"


def test_isolated_configs_have_logs_and_processes_of_their_own(work: Workspace) -> None:
    body = "print('to stdout', flush=True)\nprint('to stderr', file=sys.stderr)\nreturn os.getpid()"
    path = script(work, body)
    path.write_text(path.read_text().replace("    experiment.run()", "    print('module')\n    experiment.run()"))
    out = run(work, "--isolate").stdout.splitlines()
    assert out[0] == "module" and len(set(json.loads(out[1].partition("] ")[2]))) == 2
    made = folder(work, "a")
    assert "to stdout" in (made / "stdout.log").read_text() and "to stderr" in (made / "stderr.log").read_text()
    assert json.loads((made / "experiment_result.json").read_text())["status"] == "completed"


def test_an_isolated_config_that_dies_is_explained_and_the_others_continue(work: Workspace) -> None:
    script(work, "if config.x == 1: os.kill(os.getpid(), 9)\nreturn config.x")
    assert "a (killed by SIGKILL" in run(work, "--isolate", code=1).stderr
    assert json.loads((folder(work, "a") / "error.json").read_text())["type"] == "killed"
    assert meta(folder(work, "b"))["status"] == "completed"


def test_workers_compute_at_once(work: Workspace) -> None:
    """Each waits for the other: one after another neither would end."""
    script(
        work,
        "Path(f'began_{config.name}').touch()\n"
        "while not (Path('began_a').exists() and Path('began_b').exists()): time.sleep(0.01)\nreturn config.x",
    )
    assert run(work, "--workers", "2").stdout == "['a', 'b'] [1, 2]\n"


def test_an_isolated_config_is_computed_by_the_right_one_of_two_experiments(work: Workspace) -> None:
    first = script(work, "return config.x", ONE).read_text().replace("experiment", "first").replace("report", "told")
    first = first.replace("first.told", "first.report").replace("runner.first", "runner.experiment")
    second = first.replace("first", "second").replace("'name': 'a', 'x': 1", "'name': 'c', 'x': 5")
    work.write("main.py", first + second)
    assert run(work, "--isolate").stdout == "['a'] [1]\n['c'] [5]\n"
    assert computed(work) == ["a", "c"]


def test_isolation_without_a_script_is_one_sentence(tmp_path: Path) -> None:
    from runner.core.errors import UserError
    from runner.library.decorator import experiment

    with pytest.raises(UserError, match="no script is running here"):
        experiment(lambda config: 1).run(lambda: [{"name": "a"}], output_dir=tmp_path, args=["--isolate"])


def test_a_debugger_that_is_left_stops_the_run(work: Workspace) -> None:
    script(work, "breakpoint()\nreturn config.x", ONE)
    process = start(work)
    process.communicate(timeout=30)  # standard input is empty: the debugger leaves
    assert process.returncode == 130 and not list((work / "out").rglob("result.pkl"))


def test_a_handler_of_the_function_is_its_own(work: Workspace) -> None:
    """The function runs under the handlers of its program, and they are restored afterwards."""
    body = "import signal\nos.kill(os.getpid(), signal.SIGUSR1)\nos.kill(os.getpid(), signal.SIGINT)\nreturn heard"
    path = script(work, body, ONE)
    before = (
        "    import signal\n    heard = []\n"
        "    def hear(number, frame): heard.append(number)\n"
        "    for number in (signal.SIGUSR1, signal.SIGINT): signal.signal(number, hear)\n"
    )
    after = "\n    os.kill(os.getpid(), signal.SIGINT)\n    print(heard)\n"
    path.write_text(path.read_text().replace("    experiment.run()", f"{before}    experiment.run(){after}"))
    assert run(work).stdout.splitlines() == ["['a'] [[10, 2]]", "[10, 2, 2]"]


@pytest.mark.parametrize("words", [(), ("--isolate",)], ids=["in-process", "isolated"])
def test_what_a_function_returns_that_caught_ctrl_c_is_not_kept(work: Workspace, words: tuple[str, ...]) -> None:
    script(work, "try:\n    " + WAITS.replace("\n", "\n    ") + "\nexcept KeyboardInterrupt: return 'half'")
    process = started(work, *words)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Left to do: a, b." in err and not list((work / "out").rglob("result.pkl"))


def test_a_result_of_another_function_is_neither_used_nor_replaced(work: Workspace) -> None:
    script(work, "return config.x", ONE)
    run(work)
    other = (work / "main.py").read_text().replace("def experiment(", "def second(").replace("experiment.", "second.")
    other = other.replace("runner.second", "runner.experiment").replace("return config.x", "return 'second'")
    work.write("other.py", other)
    done = run(work, program="other.py", code=1)
    assert "holds a result of main.experiment, not of other.second" in done.stderr and computed(work) == ["a"]
    assert run(work).stdout == "['a'] [1]\n"
    assert run(work, "--rerun", program="other.py").stdout == "['a'] ['second']\n"


def test_a_script_that_was_renamed_keeps_its_results(work: Workspace) -> None:
    script(work, "return config.x", ONE)
    run(work)
    (work / "main.py").rename(work / "train.py")
    assert run(work, program="train.py").stdout == "['a'] [1]\n" and computed(work) == ["a"]
