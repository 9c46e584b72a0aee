"""`table` and `load_results` over every kind of folder that this project, or Hydra, leaves behind."""

from __future__ import annotations

import csv
import json
import os
import pickle
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner import load_results
from runner.reports import plainpickle
from tests.conftest import PROJECT, Workspace
from tests.trees import ALL, prepare

MEASURES = """\
import json, pathlib, sys
out = pathlib.Path(next(word[10:] for word in sys.argv if word.startswith('--out_dir=')))
lr = float(pathlib.Path(sys.argv[1]).read_text().split('lr = ')[1].split()[0])
row = {'iter': 5, 'time': 'now', 'val/loss': 10 * lr}
(out / 'metrics.jsonl').write_text(json.dumps(row) + '\\n')
sys.exit(lr > 0.5)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of three jobs; the last one failed after it had measured."""
    work = Workspace(tmp_path_factory.mktemp("batch"))
    work.write("job.py", MEASURES)
    for name, lr in (("a2", 0.2), ("a10", 0.1), ("b", 0.7)):
        work.write(f"c/{name}.py", f"lr = {lr}\nsame = 3\n")
    work.run("--configs", "c/*.py", "--train_script", "job.py", code=1)
    return work.folder


@pytest.fixture
def batch(made: Path, work: Workspace) -> Workspace:
    """A copy of it, to be damaged."""
    shutil.copytree(made, work.folder, symlinks=True, dirs_exist_ok=True)
    return work


def hydra_job(folder: Path, seed: int, *, metrics: bool = True, config: str = "") -> None:
    (folder / ".hydra").mkdir(parents=True)
    text = config or f"data:\n  n_data: 100\nsampler:\n  lr: 1e-6\nseed: {seed}\n"
    (folder / "config.yaml").write_text(text)
    if metrics:
        lines = [",llc_mean,ess,note", f"sgld,{seed + 0.5},100,", f"hmc,{seed + 0.25},nan,ok"]
        (folder / "metrics_summary.csv").write_text("\n".join(lines) + "\n")


def table(work: Workspace, *words: object, code: int = 0) -> list[list[str]]:
    return [line.split() for line in work.run("table", *words, code=code).stdout.splitlines()]


# The kinds of folders


def test_a_batch_is_a_row_for_each_job_with_what_differs(batch: Workspace) -> None:
    rows = load_results(batch.batch)
    assert [(row["name"], row["status"], row["lr"], row["val/loss"]) for row in rows] == [
        ("a2", "completed", 0.2, 2.0), ("a10", "completed", 0.1, 1.0), ("b", "failed", 0.7, 7.0),
    ]  # fmt: skip
    assert all(row["seconds"] >= 0 and Path(row["out_dir"]).is_dir() for row in rows)
    lines = table(batch, "experiments/latest/")
    assert lines[0] == ["name", "lr", "val/loss", "status", "seconds"]
    assert lines[1][:4] == ["a2", "0.2", "2", "completed"]


def test_a_pending_job_and_a_lost_one_have_rows(batch: Workspace) -> None:
    (batch.batch / "a2" / "experiment_result.json").unlink()
    dead = json.dumps({"supervisor": ["999999999", "1", "x"], "job": ["999999999"], "attempt": 1})
    (batch.batch / "a2" / "supervisor.json").write_text(dead)
    for path in (batch.batch / "a10").iterdir():
        path.unlink()
    assert [row["status"] for row in load_results(batch.batch)] == ["lost", "pending", "failed"]


def test_a_folder_of_batches_names_them(batch: Workspace) -> None:
    names = [row["name"] for row in load_results(batch / "experiments")]
    assert names == [f"{batch.batch.name}/{name}" for name in ("a2", "a10", "b")]  # and `latest` is not a second one


def test_one_job_alone_and_several_folders(batch: Workspace) -> None:
    (row,) = load_results(batch.batch / "b")
    assert (row["name"], row["lr"], row["status"]) == ("b", 0.7, "failed")
    hydra_job(batch / "multirun/2026-11-20/10-00-00/0", 3)
    rows = load_results(batch.batch, batch / "multirun")
    assert len(rows) == 4 and rows[3]["name"] == f"{batch / 'multirun'}/2026-11-20/10-00-00/0"


def test_a_tree_of_outputs(work: Workspace) -> None:
    prepare(work, IMAGE__a="seed: 1", IMAGE__deep__b="fail: true")
    work.run(*ALL, code=1)
    rows = load_results(work / "outputs")
    assert [(row["name"], row["status"]) for row in rows] == [("IMAGE/a", "completed"), ("IMAGE/deep/b", "failed")]
    assert rows[0]["clean.accuracy"] == 0.51 and rows[0]["seed"] == 1


def test_a_run_without_a_runner_is_known_by_its_metadata(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    about = {"status": "completed", "duration_seconds": 2.5, "config": {"seed": 4}}
    (tmp_path / "x" / "metadata.json").write_text(json.dumps(about))
    (row,) = load_results(tmp_path)
    assert (row["name"], row["status"], row["seconds"], row["seed"]) == ("x", "completed", 2.5, 4)


def test_a_multirun_is_flat_in_numeric_order_and_keeps_the_jobs_that_failed(tmp_path: Path) -> None:
    for number in (10, 9, 2, 0):
        hydra_job(tmp_path / str(number), number, metrics=number != 2)
    (tmp_path / "multirun.yaml").write_text("x: 1\n")
    (tmp_path / ".hydra").mkdir()  # as train.py leaves it there
    rows = load_results(tmp_path)
    assert [row["name"] for row in rows] == ["0", "2", "9", "10"]
    assert [row["status"] for row in rows] == ["completed", "incomplete", "completed", "completed"]
    assert rows[2]["sgld_llc_mean"] == 9.5 and rows[2]["sgld_ess"] == 100 and rows[2]["hmc_note"] == "ok"
    assert [key for key in rows[2] if key in rows.measured][:3] == ["sgld_llc_mean", "hmc_llc_mean", "sgld_ess"]
    assert rows[2]["sgld_note"] is None and rows[2]["hmc_ess"] != rows[2]["hmc_ess"]  # NaN
    assert (rows[2]["data.n_data"], rows[2]["sampler.lr"], rows[2]["seed"]) == (100, 1e-6, 9)


def test_a_cache_of_the_library_shows_plain_results(work: Workspace) -> None:
    work.write(
        "main.py",
        "import numpy as np\nimport runner\n@runner.experiment\ndef f(config):\n"
        "    if config.lr > 1: raise ValueError('no')\n"
        "    return {'accuracy': np.float64(config.lr / 2), 'net': {'size': 3}, 'ok': np.True_}\n"
        "@f.configs\ndef configs():\n    return [{'name': 'x', 'lr': 0.5}, {'name': 'y', 'lr': 2.0}]\n"
        "if __name__ == '__main__': f.run()\n",
    )
    environment = {"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "main.py"]
    subprocess.run(command, cwd=work.folder, env=environment, capture_output=True, check=False)
    rows = {row["lr"]: row for row in load_results(work / "out")}
    assert (rows[0.5]["accuracy"], rows[0.5]["net.size"], rows[0.5]["ok"]) == (0.25, 3, True)
    assert (rows[0.5]["status"], rows[2.0]["status"]) == ("completed", "failed")


DATACLASSES = """\
import enum
from dataclasses import dataclass, field
from pathlib import Path
import numpy as np
import runner

class Kind(enum.Enum):
    RED = 1

@dataclass
class Net:
    width: int
    init: object = field(init=False)

@dataclass
class Settings:
    name: str
    lr: float
    net: Net
    kind: Kind = Kind.RED
    betas: tuple = (0.9, 0.99)
    data: Path = Path("data/x")
    table: dict = field(default_factory=lambda: {1: "one", "$x": {"y": 2}})
    limit: float = float("inf")
    start: object = field(default_factory=lambda: np.zeros((2, 3)))

@runner.experiment
def f(config): return {"loss": config.lr * 2}

def settings(name, lr):
    net = Net(8)
    net.init = "he"
    return Settings(name, lr, net)

if __name__ == "__main__":
    f.run(lambda: [settings("a", 0.2), settings("b", 0.1)])
    f.run(lambda: [{"name": "c", "lr": 0.3, "net": settings("c", 1).net}])
    print([(row["lr"], row["net.width"], row["net.init"]) for row in f.results()])
"""


def test_configs_of_dataclasses_are_plain_values_and_columns(work: Workspace) -> None:
    work.write("main.py", DATACLASSES)
    environment = {"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "main.py"]
    done = subprocess.run(command, cwd=work.folder, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[(0.3, 8, 'he')]\n"
    rows = {row["lr"]: row for row in load_results(work / "out")}
    row = rows[0.2]
    assert (row["net.width"], row["net.init"], row["kind"]) == (8, "he", "RED")
    assert (row["betas"], row["data"], row["limit"]) == ([0.9, 0.99], "data/x", float("inf"))
    assert (row["table.1"], row["table.$x.y"]) == ("one", 2)
    assert row["start"].startswith("array <f8[2, 3] ")
    assert rows[0.3]["net.width"] == 8 and not [column for one in rows.values() for column in one if "$d" in column]
    shown = work.run("table", "out", "--sort", "lr", "--columns", "lr", "net.width", "loss", "--csv", "-", code=0)
    assert shown.stdout.splitlines() == ["lr,net.width,loss", "0.1,8,0.2", "0.2,8,0.4", "0.3,8,0.6"]


def test_what_a_job_of_hydra_returned_is_a_column(tmp_path: Path) -> None:
    stored = PROJECT / "tests" / "data" / "0.1.0" / "hydra" / "sweep" / "0" / "return_value.pkl"
    hydra_job(tmp_path / "1", 1)
    (tmp_path / "1" / "return_value.pkl").write_bytes(stored.read_bytes())  # {"loss": 0.5}
    for number, value in ((2, "G?\xe0\0\0\0\0\0\0"), (3, "cposix\nsystem\n(S'touch planted'\ntR")):
        hydra_job(tmp_path / str(number), number)
        content = stored.read_bytes()
        start, end = content.index(b"}\x94"), content.index(b"X\x06\0\0\0@ROOT@")
        changed = content[:start] + value.encode("latin-1") + content[end:]
        (tmp_path / str(number) / "return_value.pkl").write_bytes(changed)
    rows = load_results(tmp_path)
    assert [row.get("loss") for row in rows] == [0.5, None, None]
    assert [row.get("return_value") for row in rows] == [None, 0.5, None]
    assert {"loss", "return_value"} <= rows.measured and rows[0]["sgld_llc_mean"] == 1.5
    assert not (tmp_path / "planted").exists()


class Evil:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('ran')",)


def test_a_pickle_runs_no_code() -> None:
    assert plainpickle.loads(pickle.dumps({"a": [1, (2.5, None)], "b": {"x"}})) == {"a": [1, (2.5, None)], "b": {"x"}}
    for content in (pickle.dumps(Evil()), pickle.dumps({"a": Path("x")}), b"", b"\x80\x05garbage"):
        with pytest.raises(ValueError):
            plainpickle.loads(content)


def test_a_value_that_holds_itself_or_has_no_end_is_no_plain_one() -> None:
    itself: dict[str, Any] = {}
    itself["a"] = itself
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    bomb: Any = 1
    for _ in range(40):
        bomb = {"a": bomb, "b": bomb}
    for value in (itself, deep, bomb):
        with pytest.raises(ValueError):
            plainpickle.loads(pickle.dumps(value))
    many = list(range(100_000))
    assert plainpickle.loads(pickle.dumps({"many": many})) == {"many": many}


def test_such_a_value_hides_no_other_job(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "meta.json").write_text(json.dumps({"status": "completed", "config": {"lr": 1}}))
    itself: dict[str, Any] = {}
    itself["a"] = itself
    (tmp_path / "a" / "result.pkl").write_bytes(pickle.dumps(itself))
    hydra_job(tmp_path / "b", 1, config="a: &x\n  b: *x\n")
    hydra_job(tmp_path / "c", 2)
    assert [(row["name"], row["status"]) for row in load_results(tmp_path)] == [(name, "completed") for name in "abc"]


@pytest.mark.parametrize("torn", ["experiment_result.json", "plan.json", "experiment_metadata.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null"])
def test_a_damaged_file_hides_no_other_job(batch: Workspace, torn: str, content: bytes) -> None:
    path = batch.batch / torn if torn == "plan.json" else batch.batch / "a2" / torn
    path.write_bytes(content)
    statuses = {row["name"]: row["status"] for row in load_results(batch.batch)}
    assert statuses["a10"] == "completed" and statuses["b"] == "failed"
    if torn == "experiment_result.json":
        assert statuses["a2"] == "unreadable"


def test_a_config_that_cannot_be_read_leaves_its_cells_empty(tmp_path: Path) -> None:
    hydra_job(tmp_path / "0", 0, config="a: [\n")
    hydra_job(tmp_path / "1", 1)
    first, second = load_results(tmp_path)
    assert "seed" not in first and first["sgld_llc_mean"] == 0.5 and second["seed"] == 1


# The command


def test_it_sorts_and_chooses_columns(batch: Workspace) -> None:
    lines = table(batch, batch.batch, "--sort", "val/loss", "--columns", "name", "val/*")
    assert lines == [["name", "val/loss"], ["a10", "1"], ["a2", "2"], ["b", "7"]]
    lines = table(batch, batch.batch, "--sort", "lr", "--reverse", "--columns", "name", "same")
    assert [line[0] for line in lines[1:]] == ["b", "a2", "a10"]


def test_what_has_no_value_is_sorted_last(tmp_path: Path, work: Workspace) -> None:
    numbers = list(range(12))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        hydra_job(tmp_path / "m" / str(number), -number, metrics=number % 3 > 0)
    for more in ((), ("--reverse",)):
        lines = table(work, tmp_path / "m", "--sort", "sgld_llc_mean", "--columns", "sgld_llc_mean", "name", *more)
        values = [float(line[0]) for line in lines[1:] if len(line) == 2]
        assert values == sorted(values, reverse=bool(more)) and len(values) == 8
        assert [len(line) for line in lines[1:]] == [2] * 8 + [1] * 4


def test_the_headline_of_a_job_comes_before_its_details(tmp_path: Path, work: Workspace) -> None:
    for name, more in (("a", {}), ("b", {"ood_rate": 0.5})):  # only the second knows it
        (tmp_path / "o" / name / "metrics").mkdir(parents=True)
        (tmp_path / "o" / name / "metadata.json").write_text('{"status": "completed"}')
        metrics = {"schema": 1, "rate": 0.25, **more, "detail": {f"k{number:02}": number for number in range(20)}}
        (tmp_path / "o" / name / "metrics" / "metrics.json").write_text(json.dumps(metrics))
    assert table(work, tmp_path / "o")[0][:4] == ["name", "rate", "ood_rate", "detail.k00"]


def test_a_reader_that_has_seen_enough_is_no_fault(batch: Workspace) -> None:
    for number in range(400):
        hydra_job(batch / "m" / str(number), number)
    command = f"{sys.executable} run_experiments.py table {batch / 'm'} --json"
    typed = ["bash", "-c", f"{command} | head -c 1; exit ${{PIPESTATUS[0]}}"]
    done = subprocess.run(typed, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("[", "", 0)


def test_a_pipe_and_the_end_of_a_link_are_written_to_not_replaced(batch: Workspace) -> None:
    os.mkfifo(batch / "pipe")
    with subprocess.Popen(["cat", batch / "pipe"], stdout=subprocess.PIPE, text=True) as cat:
        assert cat.stdout is not None
        batch.run("table", batch.batch, "--csv", "pipe", code=0)
        if not stat.S_ISFIFO(os.lstat(batch / "pipe").st_mode):
            cat.kill()  # it waits for a pipe that is gone
            pytest.fail("the pipe was replaced")
        assert cat.stdout.read().count("\n") == 4
    (batch / "real.csv").touch()
    (batch / "link.csv").symlink_to("real.csv")
    batch.run("table", batch.batch, "--csv", "link.csv", code=0)
    assert (batch / "link.csv").is_symlink() and (batch / "real.csv").read_text().startswith("name,")


def test_csv_and_json(batch: Workspace) -> None:
    assert "3 rows in t.csv" in batch.run("table", batch.batch, "--csv", "t.csv", code=0).stdout
    with (batch / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], float(row["lr"]), row["status"]) for row in rows] == [
        ("a2", 0.2, "completed"), ("a10", 0.1, "completed"), ("b", 0.7, "failed"),
    ]  # fmt: skip
    assert batch.run("table", batch.batch, "--csv", "-", code=0).stdout == (batch / "t.csv").read_text()
    assert [row["same"] for row in json.loads(batch.run("table", batch.batch, "--json", code=0).stdout)] == [3, 3, 3]


def test_rows_are_a_frame_where_pandas_is_there(batch: Workspace) -> None:
    pandas = pytest.importorskip("pandas")
    frame = load_results(batch.batch).to_frame()
    assert isinstance(frame, pandas.DataFrame) and list(frame["lr"]) == [0.2, 0.1, 0.7]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "nowhere: is not a folder; name one that holds results"),
        (("c",), "c: there is no result of a job in it; name another folder"),
        (("experiments", "--sort", "los"), "--sort: there is no column 'los'"),
        (("experiments", "--columns", "val/los"), "did you mean 'val/loss'?"),
        (("experiments", "--csv", "no/such.csv"), "--csv no/such.csv: cannot be written (No such file or directory)"),
    ],
)
def test_an_error_is_one_sentence(batch: Workspace, words: tuple[str, ...], message: str) -> None:
    err = batch.run("table", *words, code=2).stderr
    assert message in err and len(err.splitlines()) == 1


def test_a_secret_stays_one(tmp_path: Path, work: Workspace) -> None:
    hydra_job(tmp_path / "0", 0, config="api_key: abc\nseed: 1\n")
    for words in (("--columns", "*"), ("--columns", "*", "--csv", "-"), ("--json",)):
        assert "abc" not in work.run("table", tmp_path / "0", *words, code=0).stdout


def test_a_reader_that_closes_the_pipe_is_not_an_error(tmp_path: Path) -> None:
    for number in range(3000):
        hydra_job(tmp_path / str(number), number, metrics=False)
    command = f"{sys.executable} {PROJECT}/run_experiments.py table {tmp_path} --json | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[\n", "")


def test_how_good_a_result_is_comes_first(work: Workspace) -> None:
    """A job of many measurements: what a screen has room for must hold the validation loss."""
    many = {f"speed_{number}": number for number in range(20)}
    row = json.dumps({"iter": 1, **many, "val/loss": 2.5, "final/loss": 2.4})
    work.write("job.py", f"import sys\nopen(sys.argv[2][10:] + '/metrics.jsonl', 'w').write({row!r} + chr(10))\n")
    work.write("c/a.py", "")
    work.run("--configs", "c/a.py", "--train_script", "job.py", code=0)
    done = subprocess.run(
        [sys.executable, str(PROJECT / "run_experiments.py"), "table", "experiments/latest"],
        cwd=work.folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[0].split()[:4] == ["name", "val/loss", "final/loss", "speed_0"]
