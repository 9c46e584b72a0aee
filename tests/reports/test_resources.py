"""Totals and findings over made-up courses of what a job uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.core.job import Job
from runner.core.result import Result
from runner.core.state import Finished, Outcome, Record
from runner.disk import resources as file
from runner.disk.place import Place
from runner.reports import resources

GIB = 1 << 30


def record(folder: Path, rows: list[dict[str, Any]], **entries: Any) -> Record:
    folder.mkdir(exist_ok=True)
    for row in rows:
        file.append(Place(folder), row)
    job = Job(name="a", config=folder / "a.py", out_dir=folder, argv=())
    state = Finished(None, "2026-01-01T00:00:00.000+00:00", 1.0, Outcome("completed"), Result(entries))
    return Record(job, state, 1)


def course(number: int = 300, **columns: Any) -> list[dict[str, Any]]:
    """Rows five seconds apart; a column is a value or a function of the place."""
    return [
        {"elapsed": 5.0 * n, "memory_limit": 64 * GIB}
        | {key: value(n) if callable(value) else value for key, value in columns.items()}
        for n in range(number)
    ]


def gpu(number: int = 0, **more: Any) -> dict[str, Any]:
    return {"uuid": f"GPU-{number}", "index": number, "memory_total": 80 * GIB, **more}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"gpus": lambda n: [gpu(utilization=5 if n % 2 else 95)], "cpu_percent": 100.0},
         "its GPUs were idle 50% of the time, while its processes kept 1.0 cores busy: the GPU waits for data"),
        ({"gpus": lambda n: [gpu(utilization=0)], "cpu_percent": 3.0},
         "its GPUs were idle 100% of the time, while its processes kept 0.0 cores busy: both wait, for a disk, a "
         "network or a lock"),
        ({"gpus": lambda n: [gpu(utilization=97)], "cpu_percent": 100.0}, None),
        ({"pss": lambda n: 2 * GIB + n * (GIB // 100)}, "its memory grows by 7.2 GiB an hour; the limit of 64.0 GiB "
         "would be reached in 8 h 11 min"),
        ({"pss": lambda n: 2 * GIB + n * (GIB // 100), "memory_limit": 16 * GIB}, "its memory grows by 7.2 GiB an "
         "hour; the limit of 16.0 GiB would be reached in 1 h 31 min"),
        ({"pss": lambda n: 2 * GIB + n * (GIB // 100), "memory_limit": 1 << 50}, None),
        ({"disk_free": lambda n: 100 * GIB - n * GIB // 10}, "the disk with its folder has 70.1 GiB free and loses "
         "72.0 GiB an hour; it would be full in 58 min 25 s"),
        ({"disk_free": lambda n: 100 * GIB + n * GIB}, None),
        ({"disk_free": lambda n: 100 * GIB - n * (GIB >> 9)}, None),
        ({"disk_free": lambda n: 4096 * GIB - n * GIB // 10}, None),
        ({"disk_free": lambda n: (9 if n < 30 else 8) * GIB}, None),
        ({"pss": lambda n: 2 * GIB + n * (GIB // 100), "elapsed": lambda n: n / 10}, None),  # it fills, in a short job
        ({"pss": lambda n: (2 + n % 5) * GIB}, None),
        ({"pss": lambda n: (9 if n < 30 else 10) * GIB}, None),
        ({"pss": lambda n: min(n, 10) * GIB}, None),
        ({"rss": GIB, "swap": GIB}, "up to 1.0 GiB of its memory were on disk (swap), which makes it slow"),
        ({"gpus": lambda n: [gpu(throttle=0x40 if n < 150 else 0, utilization=99)]},
         "GPU 0 lowered its clock for heat or power 50% of the time"),
        ({"gpus": [gpu(throttle=0x4)]}, None),
    ],
)  # fmt: skip
def test_what_stands_out_is_said_with_numbers(tmp_path, columns, expected):
    found = resources.findings(record(tmp_path / "a", course(**columns)))
    assert found == ([] if expected is None else [expected])


def test_gpus_that_were_given_and_not_used_are_named(tmp_path):
    given = [{"uuid": f"GPU-{n}", "index": n} for n in range(2)]
    found = record(tmp_path / "a", course(gpus=[gpu(utilization=99)]), gpus=given)
    assert resources.findings(found) == ["it was given 2 GPUs and used 1"]


def test_a_short_job_gets_no_finding(tmp_path):
    assert resources.findings(record(tmp_path / "a", course(5, gpus=[gpu(utilization=0)], cpu_percent=100.0))) == []


def test_totals_have_what_is_known_and_nothing_else(tmp_path):
    assert resources.totals(record(tmp_path / "none", [])) == {}
    rows = course(
        40, gpus=lambda n: [gpu(energy_mj=1000 * (n % 20), memory=n)], pss=lambda n: n, rss=9999,
        read_bytes=lambda n: 10 * n,
    )  # fmt: skip
    counted = {"cpu_seconds": 3.5, "max_rss": 2048, "max_swap": float("inf"), "odd": [1]}
    found = resources.totals(record(tmp_path / "a", rows, resources=counted))
    assert found == {
        "cpu_seconds": 3.5, "max_rss": 2048, "max_memory": 39, "memory_how": "pss", "read_bytes": 390,
        "max_gpu_memory_bytes": 39, "energy_joules": 38, "energy_how": "counter",
    }  # fmt: skip
    assert resources.words(found) == "3.5 s of processor time, 39 bytes, 39 bytes of a GPU, 0.00 kWh by GPUs"


@pytest.mark.parametrize(
    ("columns", "joules", "how"),
    [({"gpus": lambda n: [gpu(power_mw=300_000)]}, 39 * 5 * 300, "power"),
     ({"gpus": lambda n: [gpu(power_mw=100_000 * (n % 2))]}, 39 * 5 * 50, "power"),
     ({"gpus": lambda n: [gpu(power_mw=300_000, others=1)]}, 39 * 5 * 300, "shared"),
     ({"gpus": lambda n: [gpu(power_mw=300_000, energy_mj=2000 * n), gpu(1, power_mw=7)]}, 79, "power"),
     ({"gpus": lambda n: [gpu(power_mw=300_000, energy_mj=2000 * n)]}, 78, "counter"),
     ({"gpus": lambda n: [gpu(power_mw="much")]}, None, None)],
)  # fmt: skip
def test_energy_is_that_of_the_counter_or_an_estimate(tmp_path, columns, joules, how):
    found = resources.totals(record(tmp_path / "a", course(40, **columns)))
    assert (found.get("energy_joules"), found.get("energy_how")) == (joules, how)
    assert ("estimated from their power" in resources.words(found)) is (how == "power")


def test_the_energy_of_processors_is_that_of_the_whole_machine(tmp_path):
    found = resources.totals(record(tmp_path / "a", course(40, cpu_energy_j=lambda n: 3.6e6 + n * 1000.0)))
    assert found == {"cpu_energy_joules": 39_000}
    assert resources.words(found) == "0.01 kWh by all processors of the machine"


def test_the_memory_of_a_short_job_is_an_upper_bound(tmp_path):
    found = resources.totals(record(tmp_path / "a", [{"pss": 5, "rss": 9}, *course(4, rss=100)]))
    assert (found["max_memory"], found["memory_how"]) == (100, "rss")


def test_rows_are_in_the_order_of_their_times(tmp_path):
    rows = [{"time": f"2026-01-01T00:00:0{second}.000+00:00", "rss": second} for second in (1, 3, 2)]
    assert [row["rss"] for row in file.read(record(tmp_path / "a", rows).job.out_dir)] == [1, 2, 3]


def test_odd_rows_are_passed_over(tmp_path):
    found = record(tmp_path / "a", course(20, pss=GIB))
    with (tmp_path / "a/resources.jsonl").open("a") as stream:
        odd = [[], {"gpus": [3, {"uuid": 4}, {"uuid": "GPU-0", "energy_mj": "much"}]}, {"pss": "x", "gpus": 7}]
        stream.write("\n".join(json.dumps(row) for row in odd) + '\n{"pss": 1e999}\n{"pss": ')
    assert resources.totals(found)["max_memory"] == GIB
    assert resources.findings(found) == []
