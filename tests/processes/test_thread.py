"""Threads without `threading`, and files of the kernel without file objects."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from _thread import allocate_lock
from pathlib import Path

import pytest

from runner.processes import kernel_file, thread
from runner.processes.thread import Thread
from tests.conftest import PROJECT, wait_until


class Waiting(Thread):
    def __init__(self) -> None:
        super().__init__()
        self.may_end = allocate_lock()
        self.may_end.acquire()
        self.ran_in = 0

    def run(self) -> None:
        self.may_end.acquire()
        self.ran_in = threading.get_ident()


def test_a_thread_lives_from_its_start_to_its_end() -> None:
    one = Waiting()
    assert not one.is_alive()
    one.start()
    one.join(0)
    assert one.is_alive()
    one.may_end.release()
    one.join(60)
    assert not one.is_alive() and one.ran_in not in (0, threading.get_ident())
    one.join(0)


def test_a_thread_for_which_there_is_no_room_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: object) -> int:
        raise RuntimeError("can't start new thread")

    one = Waiting()
    monkeypatch.setattr(thread, "start_new_thread", full)
    with pytest.raises(RuntimeError):
        one.start()
    assert not one.is_alive()
    monkeypatch.undo()
    one.may_end.release()
    one.start()
    one.join(60)
    assert one.ran_in


def test_a_thread_that_raises_says_so_and_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)

    class Raising(Thread):
        def run(self) -> None:
            raise ValueError

    one = Raising()
    one.start()
    one.join(60)
    assert not one.is_alive()
    wait_until(lambda: said != [], "the error is told")


def test_a_supervisor_is_forked_by_a_process_without_threading() -> None:
    code = "import sys; sys.path.append(sys.argv[1]); import runner.supervisor.spawner"
    words = [sys.executable, "-I", "-S", "-c", f"{code}; print('threading' in sys.modules)", str(PROJECT)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_all_of_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for size in (0, 1, kernel_file.BLOCK, 3 * kernel_file.BLOCK + 1):
        path.write_bytes(os.urandom(size))
        assert kernel_file.read(str(path)) == path.read_bytes()
    with pytest.raises(FileNotFoundError):
        kernel_file.read(str(tmp_path / "none"))
