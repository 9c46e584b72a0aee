"""Which precision a device gets."""

import pytest
import torch

from pipelines.shared import devices

CPU = torch.device("cpu")
XEON = "fpu sse2 avx2 avx512f avx512_vnni"


@pytest.mark.parametrize(
    ("flags", "units"),
    [(XEON, False), (f"{XEON} avx512_bf16", True), (f"{XEON} amx_bf16", True), ("asimd bf16", True), ("", False)],
)
def test_bfloat16_is_chosen_on_a_processor_with_units_for_it_if_the_model_is_compiled(flags, units, monkeypatch):
    monkeypatch.setattr(devices, "_processor_flags", lambda: frozenset(flags.split()))
    assert devices.has_bfloat16_units(CPU) is units
    assert devices.choose_dtype("auto", CPU) == torch.float32
    assert devices.choose_dtype("auto", CPU, compiled=True) == (torch.bfloat16 if units else torch.float32)
    assert devices.choose_dtype("bfloat16", CPU) == torch.bfloat16


@pytest.mark.parametrize("line", ["flags\t\t: fpu amx_bf16 avx", "Features\t: asimd bf16"])
def test_flags_are_read_as_linux_lists_them(line, monkeypatch):
    monkeypatch.setattr(devices.Path, "read_text", lambda *_, **__: f"processor\t: 0\n{line}\nprocessor\t: 1\n")
    assert not devices.BFLOAT16_UNITS.isdisjoint(devices._processor_flags.__wrapped__())


def test_a_system_without_the_list_has_no_flags(monkeypatch):
    def fail(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(devices.Path, "read_text", fail)
    assert devices._processor_flags.__wrapped__() == frozenset()
