"""The clusters that the tests run against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Workspace
from tests.slurm.clusters import Batch, Cluster, FalseCluster, RealCluster
from tests.slurm.false_slurm import Controller


@pytest.fixture
def false_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FalseCluster]:
    found = FalseCluster(tmp_path_factory.mktemp("s"))  # a short name: that of a socket has 107 characters
    with found.controller:
        yield found


@pytest.fixture
def controller(false_cluster: FalseCluster) -> Controller:
    return false_cluster.controller


@pytest.fixture(scope="session")
def real_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    if (why := RealCluster.missing()) is not None:
        pytest.skip(f"no real Slurm: {why}")
    found = RealCluster(Path(tmp_path_factory.mktemp("real")))
    if (why := found.start()) is not None:
        pytest.skip(f"Slurm is installed, and its daemons do not run here: {why}")
    yield found
    found.end()


@pytest.fixture(params=["false", pytest.param("real", marks=[pytest.mark.slurm, pytest.mark.timeout(600)])])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The same test against both: any difference is a fault of the false one."""
    if request.param == "false":
        found: FalseCluster = request.getfixturevalue("false_cluster")
        found.controller.requeue_delay = 600.0  # until the test lets it start again, as with a real one
        yield found
        return
    real: RealCluster = request.getfixturevalue("real_slurm")
    yield real
    real.clear()


@pytest.fixture
def batch(work: Workspace, cluster: Cluster) -> Batch:
    return Batch(work, cluster)


@pytest.fixture
def false_batch(work: Workspace, false_cluster: FalseCluster) -> Batch:
    return Batch(work, false_cluster)
