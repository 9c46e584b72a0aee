"""How often the page asks for the GPUs of the machine."""

import pytest

from runner.gpus.devices import Gpu, Snapshot
from runner.page import gpu_view


class Looks:
    """Finds what it is given, and counts."""

    def __init__(self, found: Snapshot) -> None:
        self.found, self.count = found, 0

    def look(self) -> Snapshot:
        self.count += 1
        return self.found


@pytest.mark.parametrize(("gpus", "looks"), [((), 1), ((Gpu("GPU-1", 0),), 3)])
def test_a_machine_without_gpus_is_asked_rarely(gpus, looks, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(gpu_view.time, "monotonic", lambda: now[0])
    page, found = gpu_view.Gpus(), Looks(Snapshot(gpus=gpus, error=None if gpus else "no driver"))
    page._looker = found  # type: ignore[assignment]
    for _ in range(5):
        page.look()
        now[0] += gpu_view.EVERY / 2
    assert found.count == looks
    now[0] += gpu_view.RARELY
    page.look()
    assert found.count == looks + 1
