"""The last job of a batch that nobody watched: it runs nothing, and writes what the end of a batch leaves."""

from __future__ import annotations

from runner.cli import conclude
from tests.conftest import Workspace


def test_the_end_of_a_batch_is_written_without_running_a_job(work: Workspace) -> None:
    work.write("c/a.sh", "echo a >> starts; exit 0")
    work.write("c/b.sh", "echo b >> starts; exit 3")
    work.run("--configs", "c/*.sh", "--command", "sh {config}", code=1)
    (work.batch / "experiment_summary.json").unlink()
    (work.batch / "b/experiment_result.json").unlink()  # nobody knows how it ended
    assert conclude.main([str(work.batch)]) == 1
    assert (work.summary["completed"], work.summary["pending"]) == (1, 1)
    assert work.run("wait", code=1).stdout == "" and (work / "starts").read_text() == "a\nb\n"
    assert conclude.main([str(work / "c")]) == 2
