"""Searches that prune, through the real command line: what is stopped, promoted, recorded and shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from runner.planners import recorded
from runner.planners.search import of
from runner.reports.search import events
from runner.search.pruning import CONTINUE, PROMOTE, STOP, repeated
from tests.conftest import Workspace, read

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: Its loss falls from `start` to a half of that. At 10 and 20 it waits for what is decided there, so that no machine is
#: too slow. At a stop request it saves and leaves; it continues from a checkpoint.
JOB = """\
import json, pathlib, sys, time, yaml
values = yaml.safe_load(open(sys.argv[1]))
out = pathlib.Path(next(word[10:] for word in sys.argv if word.startswith('--out_dir=')))
saved, rungs, number = out / 'ckpt_last.pt', out.parent / 'rungs.jsonl', int(out.name[6:])
begin = int(saved.read_text()) if '--again' in sys.argv else 0
(out / 'starts.txt').open('a').write(f'{begin}\\n')
def decided(number, level):
    lines = [json.loads(line) for line in rungs.read_text().splitlines()] if rungs.exists() else []
    found = [one['decision'] for one in lines if one['trial'] == number and one.get('level') == level]
    return found[-1] if found else ''
step = begin
try:
    for step in range(begin + 1, 41):
        with (out / 'metrics.jsonl').open('a') as file:
            file.write(json.dumps({'iter': step, 'val_loss': values['start'] * (1 - step / 80)}) + '\\n')
        while step in values['waits'] and decided(number, step) in ('', 'stop'): time.sleep(0.02)
        if values.get('fails'):  # trial 1 gets to 10 after trial 0, which fails once trial 1 has stopped
            while step == 9 and number == 1 and not decided(0, 10): time.sleep(0.02)
            while step == 15 and number == 0 and not decided(1, 10): time.sleep(0.02)
            if step == 15 and number == 0: sys.exit(3)
except KeyboardInterrupt:
    saved.write_text(str(step))
    sys.exit(0)
"""
STARTS = [0.3, 0.6, 0.5, 0.2, 0.4]


@pytest.fixture
def search(work: Workspace) -> Workspace:
    work.write("job.py", JOB)
    work.write("base.yaml", "start: 1.0\nwaits: [10, 20]\n")
    return work


def spec(work: Workspace, starts: list[float], **more: Any) -> None:
    entry = {
        "start": {"choice": starts}, "metric": "val_loss", "sampler": "grid", "pruner": "asha",
        "min_resource": 10, "max_resource": 40, "reduction_factor": 2, **more,
    }  # fmt: skip
    about = {"name": "find", "base_config": "base.yaml", "train_script": "job.py", "search": entry}
    work.write("s.yaml", yaml.safe_dump(about))


def decisions(work: Workspace) -> list[tuple[int, str, float | None]]:
    return [(event.trial, event.decision, event.level) for event in events(work.batch) if event.level is not None]


def statuses(work: Workspace) -> Mapping[str, str]:
    return {one["name"][-1]: one["status"] for one in read(work.batch / "search.json")["ordered"]}


def test_asha_stops_trials_which_count_as_successes_and_are_told_apart_everywhere(search: Workspace) -> None:
    spec(search, STARTS)
    ended = search.run("--exp", "s.yaml", code=0).stdout
    assert decisions(search) == [
        (0, CONTINUE, 10), (0, CONTINUE, 20),
        (1, STOP, 10),  # of two the best one goes on
        (2, STOP, 10),
        (3, CONTINUE, 10), (3, CONTINUE, 20),
        (4, STOP, 10),  # of five the best two
    ]  # fmt: skip
    assert statuses(search) == {"0": "completed", "1": "pruned", "2": "pruned", "3": "completed", "4": "pruned"}
    plan = recorded.plan(search.batch)
    entry = of(plan)
    assert entry is not None and repeated(entry, events(search.batch)) == []
    found = read(search.batch / "search.json")
    assert (found["evaluated"], found["failed"], found["pruned"]) == (5, 0, 3) and 0.3 < found["saved"] <= 0.45
    assert [one["name"] for one in found["ordered"]][:3] == ["trial_0003", "trial_0000", "trial_0004"]
    assert found["rungs"][0] == {"resource": 10, "trials": 5, "stopped": 3, "best": pytest.approx(0.175)}
    assert "evaluated 5, pruned 3, saved" in ended and "rung at 10: 5 trials, 3 stopped there" in ended
    assert "2 completed, 3 pruned." in ended and "Resume:" not in ended

    summary = read(search.batch / "experiment_summary.json")
    assert (summary["completed"], summary["pruned"], summary["failed"], summary["interrupted"]) == (2, 3, 0, 0)
    result = read(search.batch / "trial_0001/experiment_result.json")
    assert (result["status"], result["error"], result.get("cause")) == ("pruned", None, None)
    runs = {one["name"]: one["status"] for one in read(search.batch / "experiment.json")["runs"]}
    assert runs["trial_0001"] == "pruned"
    shown = search.run("status", code=0).stdout
    assert "done; 2 completed, 3 pruned" in shown
    assert "pruned" in search.run("table", code=0).stdout
    search.run("report", "-o", "r.html", code=0)
    assert "rung at 10: 5 trials, 3 stopped there" in (search / "r.html").read_text()
    search.run("--resume", code=0)  # nothing is left to do
    assert statuses(search)["1"] == "pruned" and len(decisions(search)) == 7


def test_asha_that_promotes_ends_trials_at_their_rung_and_resumes_them_from_their_checkpoint(search: Workspace) -> None:
    spec(search, STARTS[:4], promote=True, max_resource=20.5)
    search.run("--exp", "s.yaml", "--resume_args=--again", code=0)
    assert decisions(search)[:5] == [
        (0, STOP, 10), (1, STOP, 10), (0, PROMOTE, 10),  # of two the better one goes on
        (0, STOP, 20),
        (2, STOP, 10),
    ]  # fmt: skip
    assert decisions(search)[5:] == [(3, CONTINUE, 10), (3, CONTINUE, 20)]
    assert statuses(search) == {"0": "pruned", "1": "pruned", "2": "pruned", "3": "completed"}
    entry = of(recorded.plan(search.batch))
    assert entry is not None and repeated(entry, events(search.batch)) == []
    assert (search.batch / "trial_0000/starts.txt").read_text().split() == ["0", "10"]
    assert (search.batch / "trial_0000/attempt_1/experiment_result.json").exists()
    assert read(search.batch / "trial_0000/trial.json")["number"] == 0


def test_a_search_whose_best_fails_resumes_the_best_that_it_pruned(search: Workspace) -> None:
    search.write("base.yaml", "start: 1.0\nwaits: [10]\nfails: true\n")
    spec(search, [0.1, 0.5], max_resource=20)
    search.run("--exp", "s.yaml", "--resume_args=--again", "--max_workers", 2, code=1)
    assert statuses(search) == {"0": "failed", "1": "completed"}
    assert decisions(search) == [(0, CONTINUE, 10), (1, STOP, 10), (1, PROMOTE, 10)]
    search.run("--resume", "--only", "failed", "--trials", 9, code=1)
    assert set(statuses(search)) == {"0", "1"}  # no other trial was started
