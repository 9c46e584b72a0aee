"""A search that prunes trials on a cluster: they save, leave and count as pruned."""

from __future__ import annotations

import pytest

from tests.conftest import Workspace, read
from tests.slurm.clusters import FalseCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: Its loss falls from `start` to a half of that. At 10 it waits for what is decided, trial 1 before that for trial 0.
JOB = """\
import json, pathlib, sys, time, yaml
values = yaml.safe_load(open(sys.argv[1]))
out = pathlib.Path(next(word[10:] for word in sys.argv if word.startswith('--out_dir=')))
rungs, number = out.parent / 'rungs.jsonl', int(out.name[6:])
def decided(number):
    lines = [json.loads(line) for line in rungs.read_text().splitlines()] if rungs.exists() else []
    return next((one['decision'] for one in lines if one['trial'] == number), '')
try:
    for step in range(1, 41):
        with (out / 'metrics.jsonl').open('a') as file:
            file.write(json.dumps({'iter': step, 'val_loss': values['start'] * (1 - step / 80)}) + '\\n')
        while step == 9 and number and not decided(0): time.sleep(0.02)
        while step == 10 and decided(number) in ('', 'stop'): time.sleep(0.02)
except KeyboardInterrupt:
    (out / 'ckpt_last.pt').write_text(str(step))
"""
SPEC = """\
name: find
base_config: base.yaml
train_script: job.py
search: {start: {choice: [0.3, 0.6]}, metric: val_loss, sampler: grid, pruner: asha, min_resource: 10, max_resource: 40,
         reduction_factor: 2}
"""


@pytest.mark.parametrize("more", [(), ("--slurm_pilots", "1", "--max_workers", "2")], ids=["array", "pilots"])
def test_a_trial_that_is_worse_is_pruned(work: Workspace, false_cluster: FalseCluster, more: tuple[str, ...]) -> None:
    work.write("job.py", JOB)
    work.write("base.yaml", "start: 1.0\n")
    work.write("s.yaml", SPEC)
    done = work.run("--exp", "s.yaml", "--executor", "slurm", *more, env=false_cluster.env, code=0)
    assert "1 completed, 1 pruned." in done.stdout
    found = read(work.batch / "search.json")["ordered"]
    assert {one["name"]: one["status"] for one in found} == {"trial_0000": "completed", "trial_0001": "pruned"}
    result = work.result("trial_0001")
    assert (result["status"], result["error"]) == ("pruned", None) and (work.batch / "trial_0001/ckpt_last.pt").exists()
