"""Ordinary settings with the names of secrets run, are recorded and resumed; secrets are not recorded."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from runner.configs.config_file import ConfigFile
from runner.configs.training_script import Checked
from runner.core.job import Job
from runner.planners import jobs
from tests.conftest import Workspace, read
from tests.sweeps import SCRIPT, done, prepare

#: Notes its arguments and its config; fails until there is a file `go`.
JOB = """\
import os, sys
open('seen', 'a').write(' '.join(sys.argv[1:]) + '\\n')
sys.exit(not os.path.exists('go'))
"""
RUN = ("--configs", "c/*", "--train_script", "job.py")
RANDOM = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zC"


@pytest.fixture
def one(work: Workspace) -> Workspace:
    work.write("job.py", JOB)
    work.write("c/a.py", "pad_token = '<pad>'\nsort_key = 'loss'\nmodel = dict(eos_token='</s>', key_dim='64')\n")
    return work


def left(work: Workspace, text: str) -> list[Path]:
    """The files of the batch with a text in them; the logs are what the jobs printed."""
    files = [path for path in work.batch.rglob("*") if path.is_file() and path.suffix != ".log"]
    return [path for path in files if text.encode() in path.read_bytes()]


def test_ordinary_settings_run_are_recorded_and_are_resumed(one: Workspace) -> None:
    given = ("--mask_token", "[M]", "--image_key=jpg", "--key_dim", "64", "--glob=data/***/x")
    out = one.run(*RUN, *given, code=1).stdout
    assert "***" not in out.replace("data/***/x", "") and "YOUR_" not in out
    metadata = read(one.batch / "a" / "experiment_metadata.json")
    assert metadata["config"]["pad_token"] == "<pad>" and metadata["config"]["model"]["eos_token"] == "</s>"
    assert metadata["overrides"] == {"mask_token": "[M]", "image_key": "jpg", "key_dim": "64", "glob": "data/***/x"}
    (one / "go").touch()
    one.run("--resume", code=0)
    first, second = (one / "seen").read_text().splitlines()
    assert first == second and "--mask_token=[M]" in first


def test_the_line_that_runs_a_job_again_has_a_place_to_fill_in(one: Workspace) -> None:
    out = one.run(*RUN, "--wandb_api_key=hush1", "--hf_token", "hush2", code=1).stdout
    again = next(line.split("again")[1] for line in out.splitlines() if "again" in line)
    words = shlex.split(again)
    assert "--wandb_api_key=YOUR_KEY" in words and words[words.index("--hf_token") + 1] == "YOUR_TOKEN"
    assert left(one, "hush") == []
    err = one.run("--resume", code=2).stderr
    assert "a: its command holds a secret, which was not written down (--wandb_api_key, --hf_token)" in err
    assert "--hf_token YOUR_TOKEN" in err and "***" not in err and "--not_secret wandb_api_key" in err
    assert len((one / "seen").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [("--hf_token", "***"), ("--hf_token=***",), ("--opts={'token': '***'}",), ("--url=https://me:***@host",)],
)
def test_what_stands_for_a_secret_is_no_value(one: Workspace, words: tuple[str, ...]) -> None:
    err = one.run(*RUN, *words, code=2).stderr
    assert "stands for a secret that was not written down; give the value itself" in err
    assert not (one / "experiments").exists()


def test_a_command_with_what_stands_for_a_secret_is_refused(one: Workspace) -> None:
    err = one.run("--configs", "c/a.py", "--command", "env HF_TOKEN=*** python job.py {config}", code=2).stderr
    assert "--command: *** stands for a secret" in err


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("s.py", "x = 1\nwandb_api_key = ['abc']\n", "c/s.py:2: 'wandb_api_key' looks like a secret"),
        ("s.yaml", "a:\n  password: 98765432109876\n", "c/s.yaml:2: 'a.password' looks like a secret"),
        ("s.py", "api_key = 'abc'\ndel api_key\n", "c/s.py:1: 'api_key' looks like a secret"),
        ("s.py", f"x = 1  # hf_{RANDOM}\n", "c/s.py:1: 'x' looks like a secret"),
        ("s.yaml", "db: postgres://me:pw@host/x\n", "c/s.yaml:1: 'db' looks like a secret"),
        ("s.json", '{"_api_key": "abc"}', "'_api_key' looks like a secret"),
    ],
)
def test_a_secret_in_a_config_is_refused_with_both_ways_out(one: Workspace, name: str, text: str, line: str) -> None:
    one.write(f"c/{name}", text)
    err = one.run(*RUN, code=2).stderr
    assert line in err and "put it into the environment, or give --not_secret" in err and len(err.splitlines()) == 1


def test_a_value_that_is_declared_to_be_no_secret_is_recorded_resumed_and_shown(one: Workspace) -> None:
    one.write("c/a.py", "api_key = 'abc'\nx = 1\n")
    declared = ("--not_secret", "api_key", "--not-secret", "hf_token")
    one.run(*RUN, "--hf_token", "word", *declared, code=1)
    assert read(one.batch / "plan.json")["options"]["not_secret"] == ["api_key", "hf_token"]
    config = read(one.batch / "a" / "experiment_metadata.json")["config"]
    assert (config["api_key"], config["hf_token"]) == ("abc", "word")
    assert "abc" in one.run("table", one.batch, "--columns", "api_key", code=0).stdout
    (one / "go").touch()
    one.run("--resume", code=0)
    one.run("rerun", one.batch.name, "a", code=0)
    lines = (one / "seen").read_text().splitlines()
    assert len(lines) == 3 and all("--hf_token=word" in line for line in lines)


def test_a_config_with_what_may_be_a_secret_runs_with_a_note_and_is_resumed(one: Workspace) -> None:
    one.write("c/a.yaml", f"x: 1\ncache_key: {RANDOM}\ntoken: word\n")
    out = one.run("--configs", "c/a.yaml", "--train_script", "job.py", code=1).stdout
    assert "c/a.yaml:2: 'cache_key' may be a secret" in (out + one.master_log())
    config = read(one.batch / "a" / "experiment_metadata.json")["config"]
    assert (config["cache_key"], config["token"], config["x"]) == ("***", "***", 1)
    assert {path.name for path in left(one, RANDOM)} == {"config_used.yaml"}
    (one / "go").touch()
    one.run("--resume", code=0)


def test_a_config_in_one_piece_has_its_own_values_and_no_secret_of_the_command_line(tmp_path: Path) -> None:
    values = {"cache_key": RANDOM, "lr": 1}
    config = ConfigFile(tmp_path / "a.yaml", b"", values, {}, bases={Path("base.yaml"): b""})
    checked = Checked(config={**values, "hf_token": "hush"}, overrides={"hf_token": "hush"}, changes={})
    text = jobs.copies("config_used.yaml", config, checked)["config_resolved.yaml"].decode()
    assert f"cache_key: {RANDOM}" in text and "hush" not in text and "***" in text


@pytest.mark.parametrize("words", ["env HF_TOKEN=hush python job.py {config}", "python job.py {config} --api_key hush"])
def test_a_spec_whose_command_holds_a_secret_is_refused(one: Workspace, words: str) -> None:
    one.write("s.yaml", f'name: s\nbase_config: c/a.py\nsweep:\n  lr: [1]\ncommand: "{words} {{overrides}}"\n')
    err = one.run("--exp", "s.yaml", code=2).stderr
    assert "s.yaml:5: 'command' looks like a secret" in err and not (one / "experiments").exists()


def test_a_secret_of_a_sweep_can_be_given_again(work: Workspace) -> None:
    sweep = prepare(work)
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--api_key", "hush", "--limit", 1, code=0)
    assert "--api_key: it was a secret" in sweep.run("--exp", "specs/s.yaml", "--resume", code=2).stderr
    err = sweep.run("--resume", code=2).stderr
    assert f"--exp specs/s.yaml --resume {sweep.batch.relative_to(sweep.folder)} --api_key=YOUR_KEY" in err
    sweep.run("--exp", "specs/s.yaml", "--resume", "--api_key", "hush", code=0)
    assert done(sweep) == ["run_000", "run_001", "run_002", "run_003"] and left(sweep, "hush") == []


def test_the_fingerprint_of_0_1_0_is_known_although_it_hid_more(tmp_path: Path) -> None:
    argv = ("python", "t.py", "c.py", f"--out_dir={tmp_path / 'a'}", "--pad_token=<pad>")
    job = Job("a", argv, tmp_path / "a", config={"pad_token": "<pad>", "lr": 0.1})
    assert job.is_work_of("ba493ffc9c920595") and job.is_work_of(job.fingerprint)
    assert job.fingerprint != "ba493ffc9c920595" and not job.is_work_of(None) and not job.is_work_of("0" * 16)
