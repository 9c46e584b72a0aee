"""What the reader threads make of bytes: exact where exactness is promised, readable where a person reads."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.core import clock
from runner.processes import process_id, process_tree
from runner.supervisor.streams import Streams
from tests.conftest import PROJECT, Workspace, wait_until

STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} ")
#: Pieces in which bytes come out of a pipe: text, line ends, carriage returns, bytes that are no UTF-8.
PIECES = st.lists(
    st.binary(max_size=40) | st.sampled_from([b"\n", b"\r", b"a\n", b"\r\n", b"\n\n", b"\x00\xff\n"]), max_size=12
)


class Piped:
    """Two pipes, their readers, and what they wrote."""

    def __init__(self, folder: Path, timestamps: str = "all") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.paths = [folder / name for name in ("stdout.log", "stderr.log", "combined.log")]
        for path in self.paths:
            path.unlink(missing_ok=True)
        (out, self.out), (err, self.err) = os.pipe(), os.pipe()
        self._read = (out, err)
        self.handed_over = [b"", b""]
        logs = tuple(map(str, self.paths))
        self.streams = Streams(out, err, logs, timestamps)  # type: ignore[arg-type]
        for reader in self.streams.readers(self.take):
            reader.start()

    def take(self, stream: int, block: bytes) -> None:
        self.handed_over[stream] += block

    def close(self) -> list[bytes]:
        os.close(self.out)
        os.close(self.err)
        assert self.streams.join(20)
        self.streams.finish(1)
        for descriptor in (*self._read, self.streams._leave, self.streams._finish):
            os.close(descriptor)
        return self.read()

    def read(self) -> list[bytes]:
        return [path.read_bytes() for path in self.paths]


def without_stamps(log: bytes) -> bytes:
    """As `cut -c25-` does, but for a last line without an end too."""
    lines = log.split(b"\n")
    assert all(STAMP.match(line) for line in lines[:-1])
    return b"\n".join(line[clock.WIDTH :] for line in lines)


SLOW_AND_SHARED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW_AND_SHARED)
@given(out=PIECES, err=PIECES)
def test_without_the_timestamps_the_bytes_are_exact(tmp_path: Path, out: list[bytes], err: list[bytes]) -> None:
    piped = Piped(tmp_path)
    for number in range(max(len(out), len(err))):
        for descriptor, pieces in ((piped.out, out), (piped.err, err)):
            if number < len(pieces):
                os.write(descriptor, pieces[number])
    stdout, stderr, _ = piped.close()
    assert without_stamps(stdout) == b"".join(out)
    assert without_stamps(stderr) == b"".join(err)
    assert piped.handed_over == [b"".join(out), b"".join(err)]


@pytest.mark.parametrize("timestamps", ["combined", "none"])
@settings(max_examples=40, deadline=None, suppress_health_check=SLOW_AND_SHARED)
@given(out=PIECES)
def test_the_other_modes_leave_the_two_streams_byte_for_byte(tmp_path: Path, timestamps: str, out: list[bytes]) -> None:
    piped = Piped(tmp_path, timestamps)
    for piece in out:
        os.write(piped.out, piece)
    assert piped.close()[0] == b"".join(out)


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW_AND_SHARED)
@given(
    lines=st.lists(
        st.tuples(st.booleans(), st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30))
    )
)
def test_combined_holds_every_line_of_both_streams_in_the_order_of_each(
    tmp_path: Path, lines: list[tuple[bool, str]]
) -> None:
    piped = Piped(tmp_path)
    for is_err, line in lines:
        os.write(piped.err if is_err else piped.out, line.encode() + b"\n")
    combined = piped.close()[2].split(b"\n")[:-1]
    assert all(STAMP.match(line) for line in combined)
    output = [line[clock.WIDTH :] for line in combined]
    for is_err, name in ((False, b"[stdout] "), (True, b"[stderr] ")):
        found = [line.removeprefix(name).decode() for line in output if line.startswith(name)]
        assert found == [line for which, line in lines if which is is_err]


def test_an_unfinished_line_is_visible_at_once(tmp_path: Path) -> None:
    piped = Piped(tmp_path)
    os.write(piped.out, b"loading")
    wait_until(lambda: piped.read()[0].endswith(b"loading"), "stdout.log shows it")
    wait_until(lambda: piped.read()[2].endswith(b"[stdout] loading"), "combined.log shows it")
    os.write(piped.err, b"warning\n")
    wait_until(lambda: b"warning" in piped.read()[2], "the other stream speaks")
    os.write(piped.out, b" done\n")
    combined = [line[clock.WIDTH :] for line in piped.close()[2].splitlines()]
    assert combined == [b"[stdout] loading", b"[stderr] warning", b"[stdout]  done"]
    assert without_stamps(piped.read()[0]) == b"loading done\n"


def test_a_line_that_grows_dot_by_dot_is_visible_while_it_grows(tmp_path: Path) -> None:
    piped = Piped(tmp_path)
    seen = []
    for _ in range(20):
        os.write(piped.out, b".")
        seen.append(piped.read()[2].count(b"."))
        time.sleep(0.05)
    assert max(seen) >= 10  # not only once the job is silent
    assert piped.close()[2][clock.WIDTH :] == b"[stdout] " + b"." * 20 + b"\n"


def test_a_progress_bar_is_kept_in_its_log_and_folded_in_combined(tmp_path: Path) -> None:
    piped = Piped(tmp_path)
    bar = b"".join(b"\r%3d%%" % percent for percent in range(101))
    for start in range(0, len(bar), 25):
        os.write(piped.err, bar[start : start + 25])
    os.write(piped.err, b"\n")
    os.write(piped.err, b"after\n")
    _, stderr, combined = piped.close()
    assert without_stamps(stderr) == bar + b"\nafter\n"
    output = [line[clock.WIDTH :] for line in combined.splitlines()]
    assert output[-2:] == [b"[stderr] 100%", b"[stderr] after"]
    assert len(output) <= 4  # the first state at once, then one a second at most


def test_a_progress_bar_that_stops_shows_its_last_state(tmp_path: Path) -> None:
    piped = Piped(tmp_path)
    os.write(piped.err, b"\r 10%")
    wait_until(lambda: b" 10%" in piped.read()[2], "the first state")
    os.write(piped.err, b"\r 20%")
    os.write(piped.err, b"\r 30%")
    wait_until(lambda: b" 30%" in piped.read()[2], "the last state")
    assert piped.close()[2].count(b"%") == 2


def test_line_ends_of_windows_are_no_progress_bars(tmp_path: Path) -> None:
    piped = Piped(tmp_path)
    os.write(piped.out, b"one\r\ntwo\r")
    os.write(piped.out, b"\nthree\r\n")
    combined = [line[clock.WIDTH :] for line in piped.close()[2].splitlines()]
    assert combined == [b"[stdout] one", b"[stdout] two", b"[stdout] three"]


def test_lines_of_both_streams_at_full_speed_stay_whole_in_combined(tmp_path: Path) -> None:
    piped = Piped(tmp_path)

    def pour(descriptor: int, letter: bytes) -> None:
        for _ in range(200):
            os.write(descriptor, (letter * 99 + b"\n") * 100)

    threads = [threading.Thread(target=pour, args=pair) for pair in ((piped.out, b"o"), (piped.err, b"e"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    output = [line[clock.WIDTH :] for line in piped.close()[2].splitlines()]
    assert output.count(b"[stdout] " + b"o" * 99) == output.count(b"[stderr] " + b"e" * 99) == 20_000
    assert len(output) == 40_000


@pytest.mark.linux
def test_a_log_that_cannot_be_written_never_stops_the_reading(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "stdout.log").symlink_to("/dev/full")
    streams = Piped(tmp_path / "y")
    streams.close()
    full = Piped.__new__(Piped)
    full.paths = [Path("/dev/full"), tmp_path / "err", tmp_path / "both"]
    (out, full.out), (err, full.err) = os.pipe(), os.pipe()
    full.handed_over = [b"", b""]
    full.streams = Streams(out, err, ("/dev/full", str(tmp_path / "err"), str(tmp_path / "both")), "all")
    for reader in full.streams.readers(full.take):
        reader.start()
    os.write(full.out, b"lost here\n" * 1000)
    os.close(full.out)
    os.close(full.err)
    assert full.streams.join(5)
    full.streams.finish(1)
    assert full.streams.errors == ["full: is a device and not a regular file (34000 bytes lost)"]
    assert full.streams.warnings == ["full was cut: is a device and not a regular file, 34000 bytes lost"]
    assert full.handed_over[0] == b"lost here\n" * 1000  # what reads the metrics does not need the log
    assert (tmp_path / "both").read_bytes().count(b"lost here") == 1000


def test_a_planted_symlink_is_not_followed(work: Workspace) -> None:
    work.write("precious", "do not touch")
    work.write("c/a.sh", "echo hello")
    work.write("c/b.sh", "echo hello")
    work.write(
        "plant.sh", 'case $1 in *a.sh) mkdir -p "$2/../b"; ln -s "$PWD/precious" "$2/../b/stdout.log";; esac; sh $1'
    )
    work.run("--configs", "c/*.sh", "--command", "sh plant.sh {config} {out_dir}", code=0)
    assert (work / "precious").read_text() == "do not touch"
    assert "stdout.log" in work.result("b")["log_errors"][0]


@pytest.mark.linux
@pytest.mark.slow
def test_a_line_of_a_gigabyte_passes_in_bounded_memory(work: Workspace) -> None:
    megabytes = 1024
    if shutil.disk_usage(work.folder).free < 3 << 30:
        pytest.skip("two copies of a gigabyte take 3 GiB of disk")
    work.write("c/a.py", "x = 1")
    work.write(
        "big.py",
        f"import os\nblock = b'x' * 2**20\nfor _ in range({megabytes}):\n"
        "    n = 0\n    while n < len(block): n += os.write(1, block[n:])\n",
    )
    process = work.start("--configs", "c/a.py", "--train_script", "big.py")
    assert _peak_of_a_batch(process) < 40 * 2**20
    assert process.returncode == 0
    assert (work.batch / "a" / "stdout.log").stat().st_size == megabytes * 2**20 + clock.WIDTH
    assert (work.batch / "a" / "combined.log").stat().st_size >= megabytes * 2**20


@pytest.mark.linux
@pytest.mark.slow
def test_twenty_million_empty_lines_on_both_streams_pass_in_bounded_memory(work: Workspace) -> None:
    # Each newline becomes 25 or 34 bytes: a block grows most where its lines are shortest.
    work.write("c/a.sh", "yes '' | head -c 20000000 & yes '' | head -c 20000000 >&2; wait")
    process = work.start("--configs", "c/a.sh", "--command", "sh {config}")
    assert _peak_of_a_batch(process) < 40 * 2**20
    assert process.returncode == 0
    assert (work.batch / "a" / "stdout.log").stat().st_size == 20_000_000 * (clock.WIDTH + 1)


def _peak_of_a_batch(process: subprocess.Popen[str]) -> int:
    """The most memory that the supervisor of the first job held, in bytes."""
    supervisor = wait_until(lambda: _supervisor_of(process.pid), "the supervisor runs")
    peak = 0
    while process.poll() is None:
        peak = max(peak, _peak_memory(supervisor))
        time.sleep(0.01)
    assert peak > 0
    return peak


def _supervisor_of(pid: int) -> int | None:
    below = process_tree.descendants(pid)
    return next((one for one in below if "supervisor/__main__.py" in str(process_id.command(one))), None)


def _peak_memory(pid: int) -> int:
    """Bytes; 0 once the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def test_cut_gives_back_the_bytes(work: Workspace) -> None:
    work.write("c/a.sh", r"printf 'one\n\ntwo \377\n'; printf 'err\n' >&2")
    work.run("--configs", "c/a.sh", "--command", "sh {config}", code=0)
    cut = subprocess.run(["cut", "-c25-", str(work.batch / "a" / "stdout.log")], capture_output=True, check=True)
    assert cut.stdout == b"one\n\ntwo \xff\n"


def test_output_of_python_jobs_is_not_held_back(work: Workspace) -> None:
    work.write("job.py", "import time\nprint('at once')\ntime.sleep(60)\n")
    work.write("a.py", "")
    process = work.start("--configs", "a.py", "--train_script", "job.py")
    path = work / "experiments/latest/a/stdout.log"
    wait_until(lambda: path.exists() and b"at once" in path.read_bytes(), "the line is there while the job runs")
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=30)


def test_few_descriptors_are_enough(work: Workspace) -> None:
    for number in range(30):
        work.write(f"c/{number}.sh", "exit 0")
    limits = (32, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    work.run(
        "--configs", "c/*.sh", "--command", "sh {config}", code=0,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits),
    )  # fmt: skip
    assert work.summary["completed"] == 30


def test_the_supervisor_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import runner.supervisor.__main__; "
        "print(*sorted({'typing', 'pathlib', 'dataclasses', 'subprocess', 'asyncio', 'logging'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(PROJECT)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
