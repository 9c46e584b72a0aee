"""Configs that mean far more than they say: each is an error, or read, within bounds. Without these it takes hours."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from runner.configs import guard, jsonfile, yamlfile
from runner.configs.evaluator import Answer, Context, Evaluator, Task
from runner.configs.pythonfile import task
from runner.core.errors import UserError
from runner.planners import pattern_words
from runner.processes import process_tree
from tests.conftest import Workspace, wait_until


def merged(levels: int, each: int = 40) -> str:
    """Mappings each of which merges the one before it many times."""
    parts = [", ".join([f"*k{level}"] * each) for level in range(levels)]
    lines = [f"k{level}: &k{level}\n  <<: [{part}]\n  y{level}: 1\n" for level, part in enumerate(parts, 1)]
    return "k0: &k0 {x: 1}\n" + "".join(lines)


def test_merge_keys_of_merge_keys_have_a_limit() -> None:
    values, _ = yamlfile.read(Path("x.yaml"), merged(2))
    assert values["k2"] == {"x": 1, "y1": 1, "y2": 1}
    with pytest.raises(UserError, match=r"x.yaml:\d+: more than 100000 keys and values"):
        yamlfile.read(Path("x.yaml"), merged(6))
    with pytest.raises(ValueError, match="more than 100000"):
        yamlfile.values(merged(6))
    assert "k6" not in yamlfile.readable(merged(6).encode())


def test_aliases_of_lists_of_aliases_have_a_limit() -> None:
    lists = [f"k0: &k0 [{', '.join(['1'] * 3000)}]"]
    lists += [f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 3000)}]" for n in (1, 2, 3)]
    with pytest.raises(UserError, match="too large for a config"):
        yamlfile.read(Path("x.yaml"), "\n".join(lists))


def test_the_time_for_a_json_config_grows_as_its_size() -> None:
    text = "{" + ",\n".join(f'"k{number}": {number}' for number in range(100_000)) + "}"
    values, lines = jsonfile.read(Path("x.json"), text)
    assert (len(values), lines["k0"], lines["k99999"]) == (100_000, 1, 100_000)


@pytest.mark.parametrize("blank", ["\n", " \n", "\f\n"])
def test_the_time_for_blank_lines_of_a_python_config_grows_as_their_number(blank: str) -> None:
    assert task(Path("x.py"), blank * 300_000 + "x = 1\n", Context()) is None


@pytest.mark.parametrize("word", ["{1..90000}{1..90000}.py", "{a,b}" * 40])
def test_braces_beside_braces_have_a_limit(tmp_path: Path, word: str) -> None:
    found, errors = pattern_words.patterns([word], tmp_path)
    assert not found and "more than 100000 names" in errors[0]


def test_a_list_that_is_named_again_and_again_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_text("a.py\n")
    for number in range(1, 20):
        (tmp_path / f"{number}.txt").write_text(f"@{number - 1}.txt\n" * 40)
    found, errors = pattern_words.patterns(["@19.txt", "@3.txt"], tmp_path)
    assert [pattern.text for pattern in found] == ["a.py"] and not errors


def evaluated(folder: Path, text: str) -> Answer:
    return Evaluator(60.0).answer(Task(folder / "x.py", text, Context(folder=folder)))


def lives(pid: int) -> bool:
    return any(process.pid == pid for process in process_tree.processes())


DAEMON = """\
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open('pids', 'a').write(f'{os.getpid()}\\n')
        time.sleep(600)
    os._exit(0)
while not os.path.exists('pids') or not open('pids').read().endswith('\\n'): time.sleep(0.01)
x = 1
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no subreapers")
def test_a_process_that_a_config_starts_in_a_session_of_its_own_ends_with_its_evaluation(tmp_path: Path) -> None:
    assert evaluated(tmp_path, DAEMON).values == {"x": 1}
    assert not lives(int((tmp_path / "pids").read_text()))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no subreapers")
def test_the_processes_of_a_config_end_with_the_runner_that_is_killed_while_it_plans(work: Workspace) -> None:
    work.write("c/a.py", DAEMON + "time.sleep(600)\n")
    work.write("job.py", "")
    runner = work.start("--configs", "c/a.py", "--config_timeout", "600", "--dry_run")
    pid = int(wait_until(lambda: (work / "pids").exists() and (work / "pids").read_text().strip(), "it runs"))
    runner.kill()
    wait_until(lambda: not lives(pid), "it has ended")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no subreapers")
def test_a_config_that_starts_more_processes_than_any_needs_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(process_tree.MARK, f"bomb of {os.getpid()}")  # what the config starts inherits it
    bomb = f"import os, time\nfor _ in range({guard.MOST.bit_length() + 1}): os.fork()\ntime.sleep(600)\n"
    assert f"more than {guard.MOST} processes" in evaluated(tmp_path, bomb).message
    assert process_tree.marked(f"bomb of {os.getpid()}", tmp_path) == []


def test_a_parent_that_ignores_sigchld_does_not_disturb_an_evaluation(work: Workspace) -> None:
    work.write("c/a.py", "x = sum(number for number in range(3))\n")
    work.write("job.py", "x = 1\nexec(open('configurator.py').read())\n")
    ran = work.run(
        "--configs", "c/a.py", "--train_script", "job.py", "--dry_run", "--json", code=0,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )  # fmt: skip
    assert json.loads(ran.stdout)["jobs"][0]["config"]["x"] == 3
