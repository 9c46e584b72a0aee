"""What the tests of sweeps share: a script that echoes its config and reports a folder, and a spec over it."""

from __future__ import annotations

import textwrap

from tests.conftest import Workspace

JOB = """\
import json, pathlib, sys
config, out = sys.argv[1], next(word[10:] for word in sys.argv if word.startswith('--out_dir='))
text = pathlib.Path(config).read_text()
print(sys.argv[2:]); print(text)
with open('done', 'a') as file: file.write(out.rpartition('/')[2] + '\\n')
if 'wrong: true' in text: sys.exit(3)
pathlib.Path(out, 'job.json').write_text(json.dumps({'run_dir': 'runs/here/' + out.rpartition('/')[2]}))
"""
SPEC = """\
name: lr_sweep
mode: training
base_config: configs/base.yaml
sweep:
  lr: [1e-3, 0.1]
  kind: [plain, "on"]
fixed_overrides:
  seed: 3
"""
SCRIPT = ("--train_script", "job.py")


def prepare(work: Workspace, spec: str = SPEC) -> Workspace:
    work.write("job.py", JOB)
    work.write("configs/base.yaml", "lr: 0.5\nlayers: [1, 2]\nflag: off\n")
    work.write("configs/nested.yaml", "lr: 0.5\nnet: {depth: 2, weight-decay: 0.1, act: {name: relu}}\nflat.key: 1\n")
    work.write("specs/s.yaml", textwrap.dedent(spec))
    return work


def done(work: Workspace) -> list[str]:
    """The runs that were run, in order."""
    return (work / "done").read_text().split() if (work / "done").exists() else []
