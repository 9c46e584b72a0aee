"""What Hydra demands of every launcher: its own test suite, run with ours."""

from __future__ import annotations

import pytest

pytest.importorskip("hydra")
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

from tests.conftest import PROJECT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("launcher_name, overrides", [("runner", [])])
class TestLauncher(LauncherTestSuite):
    pass


@pytest.mark.parametrize("launcher_name, overrides", [("runner", ["hydra.sweeper.max_batch_size=2"])])
class TestBatches(BatchedSweeperTestSuite):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("task_launcher_cfg, extra_flags", [({}, ["-m", "hydra/launcher=runner"])])
class TestPrograms(IntegrationTestSuite):
    """These start programs, which find the launcher through PYTHONPATH."""

    @pytest.fixture(autouse=True)
    def found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", str(PROJECT))
