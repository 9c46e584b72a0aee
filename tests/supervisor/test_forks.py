"""What makes a fork like a new process, part by part: the script that it runs, the modules that it sees, its pipes."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.supervisor import last_seen, preload, script
from runner.supervisor.preload import Ours, Unsuited

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere no job is warm")


def in_a_fork(run: Callable[[], object]) -> tuple[int, str]:
    """The exit code of a process that runs this, and what it printed."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(write, 1)
        os.dup2(write, 2)
        sys.stdout = sys.stderr = os.fdopen(2, "w")
        code = 0
        try:
            run()
        except SystemExit as error:
            code = int(error.code or 0)
        except BaseException as error:
            trace = error.__traceback__
            while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
                trace = trace.tb_next
            sys.excepthook(type(error), error, trace)
            code = 1
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


def test_the_script_is_the_first_word_that_is_not_an_option() -> None:
    assert (
        script.first_argument(["python", "t.py", "x"]) == 1
        and script.first_argument(["python", "-u", "-O", "t.py"]) == 3
    )


def test_a_script_is_run_as_the_main_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.py").write_text(
        "import os, sys\nis_main = sys.modules['__main__'].__dict__ is globals()\n"
        "os.write(1, f'{__name__} {__file__} {is_main} '.encode())\nraise SystemExit(7)\n"
    )
    path = tmp_path / "t.py"
    for name in ("t.py", "./t.py", str(path)):
        assert in_a_fork(lambda name=name: script.execute(name)) == (7, f"__main__ {path} True ")
    code, text = in_a_fork(lambda: script.execute("gone.py"))
    gone = str(tmp_path / "gone.py")
    assert code == 2
    assert text == f"{sys.executable}: can't open file {gone!r}: [Errno 2] No such file or directory\n"
    path.write_text("raise ValueError('odd')\n")
    code, text = in_a_fork(lambda: script.execute("t.py"))
    assert code == 1 and text.endswith("ValueError: odd\n") and "script.py" not in text and f'"{path}", line 1' in text


def test_signals_are_those_of_a_new_python() -> None:
    def check() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        script.start_signals()
        found = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM)]
        assert found == [signal.default_int_handler, signal.SIG_IGN, signal.SIG_IGN, signal.SIG_DFL]

    assert in_a_fork(check) == (0, "")


def test_descriptors_that_an_exec_would_close_are_closed_but_for_some() -> None:
    def check() -> None:
        kept, closed, inherited = (os.open(os.devnull, os.O_RDONLY) for _ in range(3))
        os.set_inheritable(inherited, True)
        script.close_all(but={kept})
        fcntl.fcntl(kept, fcntl.F_GETFD)
        fcntl.fcntl(inherited, fcntl.F_GETFD)
        fcntl.fcntl(1, fcntl.F_GETFD)
        with pytest.raises(OSError, match="Bad file"):
            fcntl.fcntl(closed, fcntl.F_GETFD)

    assert in_a_fork(check) == (0, "")


def test_random_numbers_are_seeded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[str] = []
    numpy = types.SimpleNamespace(seed=lambda: seeded.append("numpy"))
    torch = types.SimpleNamespace(default_generator=types.SimpleNamespace(seed=lambda: seeded.append("torch")))
    monkeypatch.setitem(sys.modules, "numpy.random", numpy)
    monkeypatch.setitem(sys.modules, "torch", torch)
    script.new_seeds()
    assert seeded == ["numpy", "torch"]
    monkeypatch.delitem(sys.modules, "numpy.random")
    monkeypatch.delitem(sys.modules, "torch")
    script.new_seeds()


def test_jobs_see_their_own_modules_and_supervisors_see_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        before = sys.path[:]
        ours = Ours(["/theirs"])
        ours.hide()
        assert sys.path == ["/theirs"] and not [name for name in sys.modules if name.split(".")[0] == "runner"]
        sys.modules["runner"] = sys.modules["runner.theirs"] = types.ModuleType("runner")
        ours.show()
        assert "runner.theirs" not in sys.modules
        assert sys.path == before and sys.modules["runner.supervisor.preload"] is preload

    assert in_a_fork(check) == (0, "")


def test_a_module_that_hides_one_of_python_is_named(tmp_path: Path) -> None:
    standard = os.path.dirname(os.__file__)  # noqa: PTH120
    path = [str(tmp_path / "more"), standard]
    (tmp_path / "theirs.py").touch()
    (tmp_path / "json").mkdir()
    preload.check_names(str(tmp_path), path)
    (tmp_path / "json/__init__.py").touch()
    with pytest.raises(Unsuited, match=r"has a module 'json', which hides that of Python"):
        preload.check_names(str(tmp_path), path)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/os.py").touch()
    with pytest.raises(Unsuited, match=r"more has a module 'os'"):
        preload.check_names("/gone", path)
    preload.check_names("/gone", [standard, str(tmp_path / "more")])


def test_what_cannot_be_imported_or_forked_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unsuited, match=r"no_such_module cannot be imported \(ModuleNotFoundError: "):
        preload.import_module("no_such_module")
    monkeypatch.setattr(preload, "in_a_fork", lambda name: "")
    monkeypatch.setattr(preload, "opened", lambda: ["/dev/null", "/dev/nvidia0"])
    with pytest.raises(Unsuited, match="importing json opens /dev/nvidia0"):
        preload.import_module("json")
    monkeypatch.setattr(preload, "opened", lambda: ["/dev/null", "/x/dev/nvidia0s/y"])
    preload.import_module("json")
    monkeypatch.setattr(preload, "in_a_fork", lambda name: "starts a thread")
    with pytest.raises(Unsuited, match="importing json starts a thread"):
        preload.import_module("json")


def test_threads_and_gpus_are_noticed_in_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.listdir
    for threads, told in ((1, ""), (2, "starts a thread"), (4, "starts 3 threads")):
        monkeypatch.setattr(preload.os, "listdir", lambda path, threads=threads: list(range(threads)))
        assert preload.in_a_fork("x") == told
    monkeypatch.setattr(preload.os, "listdir", real)
    for bad, told in ((True, "initialises a GPU"), (False, None)):
        cuda = types.SimpleNamespace(_is_in_bad_fork=lambda bad=bad: bad)
        monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
        assert (preload.in_a_fork("x") == "initialises a GPU") == (told is not None)


def test_open_files_stale_files_and_printed_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.py"
    path.write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("mine")
    with path.open() as file:
        assert str(path) in set(preload.opened()) and file.fileno() in preload.descriptors()
        assert any(name.endswith(".so") or ".so." in name for name in preload.opened())
    with monkeypatch.context() as every:
        every.setattr(preload, "MOST_FILES", 10**6)
        found = preload.files_of(["json"])
    assert found[str(path)] == path.stat().st_mtime_ns and any(name.endswith("json/__init__.py") for name in found)
    assert not any(name.endswith("/os.py") for name in found)
    monkeypatch.setattr(preload, "MOST_FILES", 1)
    assert len(preload.files_of(["json"])) == 1
    path.unlink()
    monkeypatch.setattr(preload, "MOST_FILES", 10**6)
    assert str(path) not in preload.files_of([])
    read, write = os.pipe()
    assert preload.taken(read) == b""
    os.write(write, b"x" * 60_000)
    assert preload.taken(read) == b"x" * 60_000


def test_the_memory_of_a_job_is_that_of_the_last_rows(tmp_path: Path) -> None:
    rows = tmp_path / "resources.jsonl"
    assert (last_seen.memory(str(rows)).used, last_seen.memory(str(rows)).words) == (0, "")
    rows.write_text('{"rss": 5, "memory_limit": 100}\n[1]\n{"pss": 90, "rss": 7}\n{"rss": "x"}\n{"cut')
    seen = last_seen.memory(str(rows))
    assert (seen.used, seen.limit, seen.is_nearly_full) == (90, 100, True)
    assert seen.words == "90 bytes in use when last seen, of 100 bytes"
    assert not last_seen.Seen(89, 100).is_nearly_full and not last_seen.Seen(5, 0).is_nearly_full
    assert last_seen.Seen(0, 5).words == last_seen.Seen(5, 0).words == ""
