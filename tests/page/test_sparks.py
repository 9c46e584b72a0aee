"""The small curves of the table: a few levels of what counts, made again only of a file that has grown."""

from __future__ import annotations

import json
import math
from pathlib import Path

from runner.page.sparks import HIGHEST, LOST, POINTS, entry
from runner.reports.tracks import Track, Tracks
from tests.page.pages import batch, client, source

SPARKS = "/api/v1/batches/night/sparks"


def track(*rows: tuple[int, float]) -> Track:
    made = Tracks()
    for step, value in rows:
        made.add({"iter": step, "loss": value})
    return made.of["loss"]


def test_the_last_value_of_each_part_counts() -> None:
    found = entry(track(*((step, float(step)) for step in range(3200))))
    assert found["levels"] == [round(part / (POINTS - 1) * HIGHEST) for part in range(POINTS)]
    assert (found["first"], found["last"]) == (99, 3199)


def test_gaps_and_what_is_not_finite_and_what_a_resume_measured_again() -> None:
    found = entry(track((0, 1.0), (16, math.nan), (32, 3.0), (31, 2.0), (32, 2.0)))
    assert found == {"levels": [0, *[None] * 15, LOST, *[None] * 14, HIGHEST], "first": 1, "last": 2}
    assert entry(track((5, math.inf))) == {"levels": [LOST]} and entry(track((5, 0.1)))["levels"] == [0]
    assert entry(None) == {"levels": []}


def test_jobs_get_theirs_and_a_job_that_grows_gets_a_new_one(tmp_path: Path) -> None:
    folder = batch(tmp_path) / "a"
    browser = client(source(tmp_path))
    asked = {"jobs": "0,1,77", "key": "val/loss"}
    first = browser.get(SPARKS, params=asked).json()
    assert first["reading"] == [] and first["sparks"]["1"] == {"levels": []} and list(first["sparks"]) == ["0", "1"]
    assert first["sparks"]["0"]["last"] == 1 / 5000 and len(first["sparks"]["0"]["levels"]) == POINTS
    assert browser.get(SPARKS, params=asked).json() == first
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"iter": 5001, "val/loss": 7}) + "\n")
    assert browser.get(SPARKS, params=asked).json()["sparks"]["0"]["last"] == 7
