"""Streams, logs and what is read of them, each part alone: with a clock and pipes of the test."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.disk import layout
from runner.disk.append_log import Log
from runner.disk.place import Place
from runner.output.divergence import Divergence
from runner.supervisor import combined, streams
from runner.supervisor.combined import Combined, Folder
from runner.supervisor.output_reader import OutputReader, RowLog
from runner.supervisor.streams import Streams

# Streams


class Both:
    """combined.log and the folders of two streams."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "combined.log"
        self.combined = Combined(Log(self.path), stamped=False)
        self.out, self.err = (Folder(name, self.combined) for name in (b"[out] ", b"[err] "))

    def text(self) -> str:
        return self.path.read_text()


def test_whole_lines_are_marked_and_unfinished_ones_held_for_a_moment(tmp_path: Path, now: list[float]) -> None:
    both = Both(tmp_path)
    assert both.out.due_in is None
    both.out.feed(b"a\nb\nhalf")
    assert both.text() == "[out] a\n[out] b\n" and both.out.due_in == pytest.approx(0.1)
    now[0] += 0.04
    both.out.feed(b" more")
    assert both.out.due_in == pytest.approx(0.06)
    both.err.feed(b"c\n")
    assert both.text() == "[out] a\n[out] b\n[err] c\n"
    now[0] += 0.07
    assert both.out.due_in == 0.0
    both.out.flush()
    both.out.flush()
    assert both.text().endswith("c\n[out] half more") and both.out.due_in is None
    both.out.feed(b" and\nd")
    assert both.text().endswith("[out] half more and\n") and both.out.due_in == pytest.approx(0.1)
    both.out.flush()
    both.err.feed(b"e\n")
    assert both.text().endswith("[out] d\n[err] e\n")
    both.combined.close_line()
    both.out.feed(b"f")
    now[0] += 0.2
    both.out.feed(b"g")  # what is due is shown with what comes
    assert both.text().endswith("[err] e\n[out] fg")
    both.combined.close_line()
    assert both.text().endswith("[out] fg\n")


def test_a_long_unfinished_line_is_passed_on_in_pieces(tmp_path: Path, now: list[float]) -> None:
    both = Both(tmp_path)
    both.out.feed(b"x" * combined.HELD)
    assert both.text() == ""
    both.out.feed(b"y")
    assert both.text() == "[out] " + "x" * combined.HELD + "y"


def test_a_progress_bar_is_folded_to_its_last_state_once_a_second(tmp_path: Path, now: list[float]) -> None:
    both = Both(tmp_path)
    both.out.feed(b"1%\r2%\r")
    assert both.text() == "[out] 2%\n" and both.out.due_in is None
    both.out.feed(b"3%\r4%")
    assert both.text() == "[out] 2%\n" and both.out.due_in == pytest.approx(1.0)
    now[0] += 1.0
    both.out.feed(b"\r5%")
    assert both.text() == "[out] 2%\n[out] 5%\n"
    both.out.feed(b"\r5%\ndone\n")
    assert both.text() == "[out] 2%\n[out] 5%\n[out] done\n"
    both.out.feed(b"a\rb\nc\r\n")
    assert both.text().endswith("done\n[out] b\n[out] c\n")
    now[0] += 2.0
    both.out.feed(b"6%\r")
    both.out.feed(b"\n")
    assert both.text().endswith("[out] c\n[out] 6%\n")
    assert [combined.last_state(line) for line in (b"a\rb\r\r", b"a", b"\r", b"")] == [b"b", b"a", b"", b""]


class Slow(Folder):
    """Every block goes through the folding of progress bars, line by line."""

    def feed(self, block: bytes) -> None:
        end = block.rfind(b"\n") + 1
        if end or not self._held:
            self._due = time.monotonic() + combined.VISIBLE_AFTER
        folded = self._fold(self._held + block[:end]) if end else b""
        if folded:
            self._combined.write_lines(self._stream, b"", folded, len(folded))
        self._held = block[end:] if end else self._held + block
        self._show_what_is_due()


#: What comes out of the pipes: the stream, a block, and how long it is silent afterwards.
TEXT = st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"bc\n", "é".encode(), "é".encode()[:1], b"\xff\x00", b"x" * 9])
BLOCKS = st.lists(
    st.tuples(
        st.booleans(), st.lists(TEXT, min_size=1, max_size=6).map(b"".join), st.sampled_from([0.0, 0.04, 0.2, 1.5])
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=BLOCKS)
def test_the_short_way_into_combined_writes_what_the_long_one_writes(
    tmp_path: Path, now: list[float], blocks: list[tuple[bool, bytes, float]]
) -> None:
    texts = []
    for kind in (Folder, Slow):
        now[0] = 100.0
        path = tmp_path / kind.__name__
        path.unlink(missing_ok=True)
        both = Combined(Log(path), stamped=False)
        folders = kind(b"[out] ", both), kind(b"[err] ", both)
        for second, block, silence in blocks:
            folders[second].feed(block)
            now[0] += silence
            for folder in folders:
                if folder.due_in == 0.0:
                    folder.flush()
        for folder in folders:
            folder.flush()
        both.close_line()
        texts.append(path.read_bytes())
    assert texts[0] == texts[1]


class Piped:
    """Two pipes with their readers; a log may have a limit."""

    def __init__(self, folder: Path, timestamps: str = "none", max_log_mb: float | None = None) -> None:
        self.blocks: list[tuple[int, bytes]] = []
        (out, self.out), (err, self.err) = os.pipe(), os.pipe()
        self.paths = tuple(folder / name for name in layout.LOGS)
        self.streams = Streams(out, err, self.paths, timestamps, max_log_mb)  # type: ignore[arg-type]
        for reader in self.streams.readers(lambda *one: self.blocks.append(one)):
            reader.start()

    def end(self) -> list[bytes]:
        os.close(self.out)
        os.close(self.err)
        assert self.streams.join(60)
        self.streams.finish(60)
        return [path.read_bytes() for path in self.paths]


def test_both_streams_reach_their_logs_and_whoever_else_takes_them(tmp_path: Path) -> None:
    piped = Piped(tmp_path)
    before = piped.streams.last_output
    assert not piped.streams.done and not piped.streams.join(0)
    os.write(piped.out, b"a\nb")
    os.write(piped.err, b"c\n")
    out, err, both = piped.end()
    assert (out, err) == (b"a\nb", b"c\n") and sorted(both.split(b"\n")) == [
        b"",
        b"[stderr] c",
        b"[stdout] a",
        b"[stdout] b",
    ]
    assert sorted(piped.blocks) == [(0, b"a\nb"), (1, b"c\n")] and piped.streams.done
    assert piped.streams.last_output >= before and piped.streams.errors == piped.streams.warnings == []


def test_stamps_stand_before_each_line_once(tmp_path: Path) -> None:
    piped = Piped(tmp_path, "all")
    os.write(piped.out, b"a\nb")
    while not piped.blocks:
        time.sleep(0.01)
    os.write(piped.out, b"c\n\n")
    out, _, both = piped.end()
    assert [line[24:] for line in out.split(b"\n")] == [b"a", b"bc", b"", b""] and out.count(b"T") == 3
    assert both.split(b"\n")[0][24:] == b"[stdout] a"


def test_a_log_that_is_cut_or_lost_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piped = Piped(tmp_path, max_log_mb=0.001)
    os.write(piped.out, b"x" * 99 + b"\n" + b"y\n" * 2000)
    out, *_ = piped.end()
    assert out.startswith(b"x") and len(out) < 1500
    assert [warning.partition(" has ")[0] for warning in piped.streams.warnings] == ["stdout.log", "combined.log"]
    assert "bytes were left out (--max_log_mb)" in piped.streams.warnings[0]
    gone = Piped(tmp_path / "gone")
    os.write(gone.out, b"abc")
    os.close(gone.out)
    os.close(gone.err)
    assert gone.streams.join(60)
    gone.streams.finish(60)
    assert gone.streams.errors[0] == "stdout.log: No such file or directory (3 bytes lost)"
    assert gone.streams.warnings[0] == "stdout.log was cut: No such file or directory, 3 bytes lost"
    (tmp_path / "large").mkdir()
    large = Piped(tmp_path / "large")
    monkeypatch.setattr(streams, "LARGE", 2)
    os.write(large.out, b"abc")
    large.end()
    assert [warning[:11] for warning in large.streams.warnings] == ["stdout.log ", "combined.lo"]
    assert "has 0.0 GB; --max_log_mb N keeps" in large.streams.warnings[0]


# The output that is read


def reader(folder: Path, patience: int = 0) -> OutputReader:
    return OutputReader(Place(folder), [], [r"loss (?P<loss>\S+) at (?P<iter>\d+)"], Divergence(patience))


def test_what_a_job_prints_becomes_rows_and_metrics(tmp_path: Path) -> None:
    output = reader(tmp_path)
    output.feed(0, b"loss 3.5 at 1\nloss 2.5 at 2\nother\n")
    output.feed(1, b"loss 4.5 at 3")
    found = output.measured()
    assert (
        found.final["train/loss"] == 4.5
        and found.best["train/loss"]["value"] == 2.5
        and found.skipped == 0
        and found.warnings == []
    )
    rows = [json.loads(line) for line in (tmp_path / layout.PARSED_METRICS).read_text().splitlines()]
    assert [row["train/loss"] for row in rows] == [3.5, 2.5, 4.5]
    (tmp_path / layout.METRICS).write_text('{"iter": 1, "loss": 9.0}\n{"iter": 2, "loss": 8.0}')
    found = output.measured()
    assert found.final == {"iter": 2, "loss": 8.0} and found.best["loss"]["value"] == 8.0
    assert not (tmp_path / layout.PARSED_METRICS).exists()


def test_of_a_flood_the_latest_blocks_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits(monkeypatch, HELD=40, LAST=20)
    output = reader(tmp_path)
    for number in range(5):
        output.feed(0, b"loss %d.5 at %d\n" % (number, number))  # 14 bytes
    found = output.measured()
    assert (
        found.skipped == 3 * 14 + 8 and found.final["train/loss"] == found.best["train/loss"]["value"] == 4.5
    )  # the last 20 bytes, in which the first line is torn


def test_a_short_last_block_of_a_flood_does_not_hide_what_was_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits(monkeypatch, HELD=200, LAST=100)
    output = reader(tmp_path)
    for block in (b"x" * 199, b"loss 1.5 at 1\n" * 9, b"saved\n"):
        output.feed(0, block)
    found = output.measured()
    assert found.skipped == 199 + 32 and found.final["train/loss"] == 1.5


def test_what_waits_when_the_job_has_ended_is_read_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits(monkeypatch, AT_END=-1.0)
    output = reader(tmp_path)
    for number in range(3):
        output.feed(0, b"loss %d.5 at %d\n" % (number, number))
    found = output.measured()
    assert found.skipped == 0 and found.final["train/loss"] == 2.5
    output.feed(0, b"loss 3.5 at 3\n")
    output.feed(0, b"x" * (1 << 16))
    output.feed(0, b"loss 4.5 at 4\n")
    output.feed(0, b"loss 5.5 at 5\n")
    found = output.measured()
    assert found.skipped == 2 * 14 and found.final["train/loss"] == 5.5


def test_of_a_flood_that_waits_at_the_end_the_last_lines_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits(monkeypatch, HELD=200, AT_END=60.0, LAST=30)
    lines = [b"loss %d.5 at %d\n" % (number, number) for number in range(10)]  # 14 bytes each
    complete = reader(tmp_path)
    complete.feed(0, b"".join(lines))
    assert complete.measured().skipped == 0 and len(kept(tmp_path)) == 10  # nothing was left out before: all of it
    output = reader(tmp_path)
    for block in (b"x" * 200, b"".join(lines[:3]), b"".join(lines)):
        output.feed(0, block)
    # Behind a gap a line may be torn: the first of the last 30 bytes is not read.
    assert output.measured().skipped == 200 + 42 + 110 and kept(tmp_path) == [8.5, 9.5]


def test_of_a_block_that_is_being_read_the_last_lines_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits(monkeypatch, AT_END=-1.0, LAST=30)
    output = reader(tmp_path)
    output.feed(0, b"".join(b"loss %d.5 at %d\n" % (number, number) for number in range(10)))
    found = output.measured()
    assert found.skipped == 6 * 13 and found.final["train/loss"] == 9.5
    assert kept(tmp_path) == [0.5, 7.5, 8.5, 9.5]  # the first was read when the time was over


def limits(monkeypatch: pytest.MonkeyPatch, **values: float) -> None:
    for name, value in values.items():
        monkeypatch.setattr(f"runner.supervisor.output_reader.{name}", value)


def kept(folder: Path) -> list[float]:
    """The losses of parsed_metrics.jsonl, which is removed."""
    path = folder / layout.PARSED_METRICS
    text = path.read_text()
    path.unlink()
    return [json.loads(line)["train/loss"] for line in text.splitlines()]


def test_the_end_of_a_terminal_is_the_end_of_its_output(tmp_path: Path) -> None:
    terminal, job = os.openpty()
    err, other = os.pipe()
    paths = tuple(tmp_path / name for name in layout.LOGS)
    made = Streams(terminal, err, paths, "none")  # type: ignore[arg-type]
    for one in made.readers(lambda *one: None):
        one.start()
    os.write(job, b"a")
    os.close(job)
    os.close(other)
    assert made.join(60)
    made.finish(60)
    assert paths[0].read_bytes() == b"a"


def test_a_loss_that_is_not_finite_in_several_rows_is_a_divergence(tmp_path: Path) -> None:
    (tmp_path / layout.METRICS).write_text('{"loss": NaN}\n')  # of an earlier attempt
    output = reader(tmp_path, patience=2)
    with (tmp_path / layout.METRICS).open("a") as file:
        file.write('{"loss": NaN}\n')
    output.measured()
    assert output.divergence.since is None
    with (tmp_path / layout.METRICS).open("a") as file:
        file.write('{"loss": NaN}\n')
    output.measured()
    assert output.divergence.since is not None
    assert output.divergence.evidence == {"line": '{"loss": NaN}', "file": layout.METRICS, "offset": 28}
    assert reader(tmp_path / "x").divergence.since is None


def test_of_a_bar_a_row_a_second_is_written(tmp_path: Path, now: list[float]) -> None:
    log = RowLog(Place(tmp_path, "rows"))
    log.flush()
    assert not (tmp_path / "rows").exists()
    assert log.write({"a": 1}, drawn_over=True) == 0 and log.write({"a": 2}, drawn_over=True) is None
    assert log.write({"a": 1}, drawn_over=False) is None  # it says nothing new
    log.flush()
    assert (tmp_path / "rows").read_text() == '{"a": 1}\n'
    assert log.write({"a": 3}, drawn_over=True) is None
    log.flush()
    log.flush()
    now[0] += 1.0
    assert log.write({"a": 4}, drawn_over=True) == 18 and (tmp_path / "rows").read_text().count("\n") == 3
    log.remove()
    log.remove()
    assert not (tmp_path / "rows").exists()
