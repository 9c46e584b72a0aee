"""What the tests of trees of configs share: a script that leaves a documented run folder, and a tree for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT, Workspace

#: Imitates the pipeline: seeded arrays, counts, records; `fail: true` ends it in the middle, `wait: FILE` holds it.
JOB = """\
import json, pathlib, sys, time
import numpy as np
config, out = sys.argv[1], pathlib.Path(next(word[10:] for word in sys.argv if word.startswith('--out_dir=')))
settings = dict(line.split(': ', 1) for line in pathlib.Path(config).read_text().splitlines() if ': ' in line)
settings |= dict(word[2:].split('=', 1) for word in sys.argv[2:])
with open('done', 'a') as file: file.write(str(out) + '\\n')
for name in ('images', 'raw/features', 'metrics', 'logs'): (out / name).mkdir(parents=True)
generator = np.random.default_rng(int(settings.get('seed', 0)))
np.save(out / 'raw' / 'features' / 'scores.npy', generator.normal(size=1000))
print('scores written', flush=True)
rows = [{'sample_id': n, 'is_adversarial': n < 5, 'adversarial_success': n < 3 if n < 5 else None, 'is_ood': n >= 5,
         'ood_success': n >= 6 if n >= 5 else None} for n in range(10)]
written = rows[:7 if 'fail' in settings else 10]
(out / 'raw' / 'records.jsonl').write_text(''.join(json.dumps(row) + '\\n' for row in written))
if 'wait' in settings:
    (out / 'started').touch()
    while not pathlib.Path(settings['wait']).exists(): time.sleep(0.02)
if 'fail' in settings:
    (out / 'logs' / 'error.txt').write_text('broken')
    sys.exit('broken on purpose')
(out / 'metrics' / 'success_counts.json').write_text(json.dumps(
    {'adversarial_success': 12, 'adversarial_total': 50, 'ood_success': 33, 'ood_total': 40, 'notes': ''}))
accuracy = 0.5 + float(settings.get('seed', 0)) / 100
(out / 'metrics' / 'metrics.json').write_text(json.dumps({'clean': {'accuracy': accuracy}}))
(out / 'metadata.json').write_text(json.dumps({'status': 'completed'}))
"""
ALL = ("--config-root", "config", "--train_script", "job.py")


def prepare(work: Workspace, **configs: str) -> Workspace:
    """The script, and configs: IMAGE__a="seed: 1" becomes config/IMAGE/a.yaml."""
    work.write("job.py", JOB)
    (work / "runners").symlink_to(PROJECT / "runners")
    for name, text in configs.items():
        work.write(f"config/{name.replace('__', '/')}.yaml", text + "\n")
    return work


def done(work: Workspace) -> list[str]:
    """The folders that runs were started for, in order."""
    lines = (work / "done").read_text().split() if (work / "done").exists() else []
    return [str(Path(line).relative_to(work.folder.resolve())) for line in lines]


def aggregate(work: Workspace) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((work / "outputs/_aggregate/aggregate_success_counts.json").read_text())
    return found


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def tree(work: Workspace) -> Workspace:
    return prepare(work, IMAGE__a="seed: 1", IMAGE__deep__b="seed: 2", **{"my-set__c": "seed: 3"})


def run_program(
    work: Workspace, name: str, *words: object, code: int | None = None
) -> subprocess.CompletedProcess[str]:
    """A program of runners/, run to its end."""
    command = [sys.executable, f"runners/{name}.py", *map(str, words)]
    process = subprocess.run(command, cwd=work.folder, capture_output=True, text=True, timeout=120, check=False)
    assert code in (None, process.returncode), f"exit code {process.returncode}\n{process.stdout}\n{process.stderr}"
    return process


SCRIPT = ("--train_script", "job.py")


#: What a run leaves according to the document, as far as the script of these tests writes it, and what the runner adds.
DOCUMENTED = {
    "raw/features/scores.npy", "raw/records.jsonl", "metrics/metrics.json", "metrics/success_counts.json",
    "metadata.json",
}  # fmt: skip
ADDED = {
    "stdout.log", "stderr.log", "combined.log", "config_used.yaml", "experiment_metadata.json",
    "experiment_result.json",
}  # fmt: skip
OF_THE_ROOT = {
    "_aggregate/aggregate_success_counts.csv", "_aggregate/aggregate_success_counts.json", "plan.json",
    "master_log.txt", "experiment_summary.json", ".lock", "ended.json",
}  # fmt: skip
