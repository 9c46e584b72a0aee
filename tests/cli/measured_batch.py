"""A batch of short shell jobs that save checkpoints and print a validation loss, for tests of what is kept of it."""

from __future__ import annotations

from tests.conftest import Workspace

COMMAND = ("--command", "env OUT={out_dir} sh {config}")
SIZE = 5000  # bytes of a checkpoint


def job(loss: float | None, steps: tuple[int, ...] = (1, 2, 10), end: str = "") -> str:
    """A job that saves `ckpt_STEP.pt` for each step, and then prints its loss."""
    saves = [f"head -c {SIZE} /dev/zero > $OUT/ckpt_{step}.pt; sleep 0.02" for step in steps]
    line = [] if loss is None else [f"echo 'step {steps[-1]}: train loss {loss + 1}, val loss {loss}'"]
    return "\n".join([*saves, *line, end])


def measured(work: Workspace) -> Workspace:
    """poor and good complete, with val losses of 3 and 1; broken fails with one of 2."""
    work.write("c/1_poor.sh", job(3))
    work.write("c/2_good.sh", job(1))
    work.write("c/3_broken.sh", job(2, end="exit 3"))
    work.run("--configs", "c/*.sh", *COMMAND, code=1)
    return work


def saved(work: Workspace) -> list[str]:
    """The checkpoints that are there."""
    return sorted(str(path.relative_to(work.batch)) for path in work.batch.rglob("*.pt"))
