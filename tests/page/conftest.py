"""What is kept of metrics goes into a folder of the test, and is read at once on a machine that has other work."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.page import filler


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(filler, "NICE", 0)
    return folder
