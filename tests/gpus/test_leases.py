"""Leases: locks on common files, taken all or none, that live as long as whoever inherited them."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from runner.core.errors import UserError
from runner.gpus import leases
from runner.gpus.leases import Holder

ANNA = Holder("anna", 1, "night", "a", "21:04")


def test_a_place_has_one_holder(tmp_path: Path) -> None:
    first = leases.take(str(tmp_path), ["u0", "u1"], 1, ANNA)
    assert first is not None and set(first) == {"u0", "u1"}
    assert leases.take(str(tmp_path), ["u1"], 1, ANNA) is None
    assert leases.holders(str(tmp_path), "u1") == [ANNA]
    assert leases.holders(str(tmp_path), "u2") == []
    leases.release(first.values())
    second = leases.take(str(tmp_path), ["u1"], 1, Holder())
    assert second is not None
    leases.release(second.values())


def test_all_or_none_are_taken(tmp_path: Path) -> None:
    one = leases.take(str(tmp_path), ["u1"], 1, ANNA)
    assert one is not None and leases.take(str(tmp_path), ["u0", "u1", "u2"], 1, ANNA) is None
    rest = leases.take(str(tmp_path), ["u0", "u2"], 1, ANNA)  # what was taken before the one that failed is free again
    assert rest is not None
    leases.release([*one.values(), *rest.values()])


def test_several_places_on_one_gpu(tmp_path: Path) -> None:
    found = [leases.take(str(tmp_path), ["u0"], 2, ANNA) for _ in range(3)]
    assert found[0] and found[1] and found[2] is None
    assert len(leases.holders(str(tmp_path), "u0")) == 2
    leases.release(found[0].values())
    again = leases.take(str(tmp_path), ["u0"], 2, ANNA)
    assert again is not None
    leases.release([*found[1].values(), *again.values()])


def test_batches_that_want_several_gpus_do_not_block_each_other(tmp_path: Path) -> None:
    """Two of three, again and again, by four at once: every one of them gets on, and no GPU is had twice."""
    having: list[str] = []
    failures: list[str] = []
    rounds = [0] * 4

    def batch(number: int) -> None:
        dice = random.Random(number)
        deadline = time.monotonic() + 60
        while rounds[number] < 250 and time.monotonic() < deadline:
            uuids = dice.sample(["u0", "u1", "u2"], 2)
            taken = leases.take(str(tmp_path), uuids, 1, ANNA)
            if taken is None:
                time.sleep(dice.random() / 1000)
                continue
            failures.extend(uuid for uuid in uuids if uuid in having)
            having.extend(uuids)
            for uuid in uuids:
                having.remove(uuid)
            leases.release(taken.values())
            rounds[number] += 1

    threads = [threading.Thread(target=batch, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rounds == [250] * 4 and not failures


def test_a_lease_lives_as_long_as_the_process_that_inherited_it(tmp_path: Path) -> None:
    taken = leases.take(str(tmp_path), ["u0"], 1, ANNA)
    assert taken is not None
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=list(taken.values()))
    leases.release(taken.values())
    assert leases.take(str(tmp_path), ["u0"], 1, ANNA) is None
    process.kill()
    process.wait()
    again = leases.take(str(tmp_path), ["u0"], 1, ANNA)
    assert again is not None
    leases.release(again.values())


def test_the_folder_and_the_files_are_for_all_users(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        path = leases.folder({leases.FOLDER: str(tmp_path / "locks")})
        taken = leases.take(path, ["u0"], 1, ANNA)
    finally:
        os.umask(before)
    assert taken is not None and stat.S_IMODE(Path(path).stat().st_mode) == 0o1777
    assert stat.S_IMODE(next(Path(path).iterdir()).stat().st_mode) == 0o666
    leases.release(taken.values())
    assert leases.folder({leases.FOLDER: path}) == path


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_two_users_share_the_locks() -> None:
    with tempfile.TemporaryDirectory() as folder:  # those of pytest are for one user
        Path(folder).chmod(0o755)
        share_locks(leases.folder({leases.FOLDER: f"{folder}/locks"}))


def share_locks(path: str) -> None:
    """Two users take what the other one does not have."""
    taken = leases.take(path, ["u0"], 1, ANNA)
    assert taken is not None
    code = (
        "import os\nfrom runner.gpus import leases\nos.setgid(65534)\nos.setuid(65534)\n"
        f"other = leases.take({path!r}, ['u1'], 1, leases.Holder('nobody'))\n"
        f"print(leases.take({path!r}, ['u0'], 1, leases.Holder('nobody')), bool(other), flush=True); input()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "None True\n"
    assert leases.take(path, ["u1"], 1, ANNA) is None
    assert leases.holders(path, "u1")[0].user == "nobody"
    process.communicate("\n")
    leases.release(taken.values())


@pytest.mark.parametrize("planted", ["link", "pipe", "folder", "torn"])
def test_what_is_planted_in_the_folder_is_not_followed(tmp_path: Path, planted: str) -> None:
    path = tmp_path / "u0.0"
    if planted == "link":
        (tmp_path / "precious").write_text("keep")
        path.symlink_to(tmp_path / "precious")
    elif planted == "pipe":
        os.mkfifo(path)
    elif planted == "folder":
        path.mkdir()
    else:
        path.write_text('{"user": ')
        taken = leases.take(str(tmp_path), ["u0"], 1, ANNA)
        assert taken is not None
        leases.release(taken.values())
        return
    with pytest.raises(OSError):
        leases.take(str(tmp_path), ["u0"], 1, ANNA)
    assert leases.holders(str(tmp_path), "u0") == []
    if planted == "link":
        assert (tmp_path / "precious").read_text() == "keep"


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "missing/locks", tmp_path / "link"):
        if path.name == "link":
            path.symlink_to(tmp_path)
        with pytest.raises(UserError, match=f"{path}: .*set RUNNER_GPU_LOCKS"):
            leases.folder({leases.FOLDER: str(path)})
