"""Waiting for one descriptor, whichever number it has."""

import fcntl
import os
import re
import resource
import select

from runner.processes.ready import ready
from tests.conftest import PROJECT


def test_descriptors_from_1024_on_are_waited_for() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    read, write = os.pipe()
    high = fcntl.fcntl(read, fcntl.F_DUPFD, 1024)
    try:
        assert high >= 1024 and not ready(high, 0)
        assert ready(write, 60, select.POLLOUT)
        os.write(write, b"x")
        assert ready(high, 60)
        os.close(write)
        os.read(high, 9)
        assert ready(high, 60), "closed by the other side"
    finally:
        os.close(read)
        os.close(high)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_nothing_waits_by_a_call_that_refuses_high_descriptors() -> None:
    """A researcher's own program may have thousands of files open when it uses the library."""
    calls = re.compile(r"select\.select\((?!\[0\])")
    folders = ("runner", "hydra_plugins", "pipelines", "tests")
    files = [path for folder in folders for path in (PROJECT / folder).rglob("*.py") if path.name != "test_ready.py"]
    assert [str(path) for path in files if calls.search(path.read_text())] == []
