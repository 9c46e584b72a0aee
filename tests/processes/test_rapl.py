"""The energy of processors as the kernel counts it: several of them, full counters, and what may not be read."""

from __future__ import annotations

from pathlib import Path

from runner.processes.rapl import Meter


def zone(zones: Path, name: str, count: int) -> None:
    folder = zones / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy_uj").write_text(f"{count}\n")
    (folder / "max_energy_range_uj").write_text("100000000\n")


def test_whole_processors_count_also_when_a_counter_begins_again(tmp_path: Path) -> None:
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        zone(tmp_path, name, 90_000_000)
    meter = Meter(tmp_path)
    assert meter.joules() == 0.0
    zone(tmp_path, "intel-rapl:0", 95_000_000)
    zone(tmp_path, "intel-rapl:0:0", 99_000_000)
    zone(tmp_path, "intel-rapl:1", 10_000_000)
    assert meter.joules() == 5.0 + 20.0
    (tmp_path / "intel-rapl:0/energy_uj").unlink()
    zone(tmp_path, "intel-rapl:1", 11_000_000)
    assert meter.joules() == 26.0


def test_without_counters_nothing_is_known(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", 5)
    (tmp_path / "intel-rapl:0/energy_uj").write_text("?")
    assert Meter(tmp_path).joules() is None and Meter(tmp_path / "none").joules() is None
