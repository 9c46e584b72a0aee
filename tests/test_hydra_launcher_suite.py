"""What Hydra demands of every launcher: its own test suite, run with ours."""

from __future__ import annotations

import pytest

pytest.importorskip("hydra")
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, LauncherTestSuite  # noqa: E402


@pytest.mark.parametrize("launcher_name, overrides", [("runner", [])])
class TestLauncher(LauncherTestSuite):
    pass


@pytest.mark.parametrize("launcher_name, overrides", [("runner", ["hydra.sweeper.max_batch_size=2"])])
class TestBatches(BatchedSweeperTestSuite):
    pass
