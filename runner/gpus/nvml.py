"""Print what NVIDIA's driver says of the GPUs, as one JSON object. Run as a program of its own.

A driver can hang or crash whoever calls it, so nothing else of the runner does. The functions and structures are those
of NVML, the driver's management library (https://docs.nvidia.com/deploy/nvml-api/).
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

LIBRARY = "libnvidia-ml.so.1"
TEXT = 96  # bytes of names
MOST_PROCESSES = 256
NOT_SUPPORTED, INSUFFICIENT_SIZE, UNKNOWN_MEMORY = 3, 7, 2**64 - 1
NEWER = (NOT_SUPPORTED, 13, 25)  # what an older driver answers: it lacks the function, or this version of it
#: What helps against an error of the driver as a whole.
FIXES = {
    9: "load its kernel module (modprobe nvidia), or restart the machine",
    15: "reset the GPU (nvidia-smi --gpu-reset), or restart the machine",
    18: "the driver was updated while it is loaded; restart the machine",
    999: "restart the container if this is one; else look into dmesg",
}
SM_CLOCK = 1  # the clock of the processors that compute
COMPUTE_MODES = {0: "default", 1: "exclusive_thread", 2: "prohibited", 3: "exclusive_process"}


class Failed(Exception):
    """A function of the driver reported an error."""


class MemoryV2(ctypes.Structure):
    """`used` is without what the driver reserves for itself. Bytes."""

    _fields_ = (
        ("version", ctypes.c_uint),
        ("total", ctypes.c_ulonglong),
        ("reserved", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class MemoryV1(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class Process(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class Pci(ctypes.Structure):
    _fields_ = (
        ("short", ctypes.c_char * 16),
        ("domain", ctypes.c_uint),
        ("bus", ctypes.c_uint),
        ("device", ctypes.c_uint),
        ("device_id", ctypes.c_uint),
        ("subsystem_id", ctypes.c_uint),
        ("bus_id", ctypes.c_char * 32),
    )


class Driver:
    """The library, with its error codes as exceptions."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError:
            raise Failed(f"{LIBRARY} cannot be loaded: no NVIDIA driver is installed") from None

    def call(self, name: str, *arguments: Any) -> None:
        """Raises Failed for an error, or a function that an old driver does not have."""
        if code := self.code(name, *arguments):
            raise Failed(f"{name}: {self.sentence(code)}")

    def code(self, name: str, *arguments: Any) -> int:
        """What the function returned."""
        try:
            function = getattr(self._library, name)
        except AttributeError:
            return NOT_SUPPORTED
        return int(function(*arguments))

    def text(self, name: str, *arguments: Any) -> str:
        """What a function writes into a buffer."""
        buffer = ctypes.create_string_buffer(TEXT)
        self.call(name, *arguments, buffer, TEXT)
        return buffer.value.decode(errors="replace")

    def sentence(self, code: int) -> str:
        try:
            function = self._library.nvmlErrorString
        except AttributeError:
            return f"error {code}"
        function.restype = ctypes.c_char_p
        fix = f"; {FIXES[code]}" if code in FIXES else ""
        return f"{(function(code) or b'error').decode(errors='replace')} (NVML error {code}){fix}"


def look() -> dict[str, Any]:
    """All GPUs in the order of their PCI bus, or `error`. A GPU that fails has an `error` of its own."""
    driver = Driver()
    driver.call("nvmlInit_v2")
    number = ctypes.c_uint()
    driver.call("nvmlDeviceGetCount_v2", ctypes.byref(number))
    version = driver.text("nvmlSystemGetDriverVersion")
    return {"driver": version, "gpus": [one for index in range(number.value) for one in _gpu(driver, index)]}


def _gpu(driver: Driver, index: int) -> list[dict[str, Any]]:
    """A GPU, and the MIG instances that it is divided into."""
    found: dict[str, Any] = {"index": index}
    handle = ctypes.c_void_p()
    try:
        driver.call("nvmlDeviceGetHandleByIndex_v2", index, ctypes.byref(handle))
        found["uuid"] = driver.text("nvmlDeviceGetUUID", handle)
        found["name"] = driver.text("nvmlDeviceGetName", handle)
        found["pci"] = _pci(driver, handle)
        found["mig"] = _is_divided(driver, handle)
        if found["mig"]:
            return [found, *_instances(driver, handle, found)]
        found["mode"] = _mode(driver, handle)
        _add_use(driver, handle, found)
    except Failed as error:
        found["error"] = str(error)
    return [found]


def _instances(driver: Driver, handle: ctypes.c_void_p, whole: dict[str, Any]) -> list[dict[str, Any]]:
    """The MIG instances of a GPU, each as a GPU with the number of its `part`."""
    number = ctypes.c_uint()
    driver.call("nvmlDeviceGetMaxMigDeviceCount", handle, ctypes.byref(number))
    found = []
    for part in range(number.value):
        instance = ctypes.c_void_p()
        if driver.code("nvmlDeviceGetMigDeviceHandleByIndex", handle, part, ctypes.byref(instance)):
            continue  # there is room for one more than there are
        entry: dict[str, Any] = {"index": whole["index"], "part": part, "pci": whole["pci"]}
        try:
            entry["uuid"] = driver.text("nvmlDeviceGetUUID", instance)
            entry["name"] = driver.text("nvmlDeviceGetName", instance)
            _add_use(driver, instance, entry)
        except Failed as error:
            entry["error"] = str(error)
        found.append(entry)
    return found


def _add_use(driver: Driver, handle: ctypes.c_void_p, found: dict[str, Any]) -> None:
    found["memory_total"], found["memory_used"] = _memory(driver, handle)
    found["processes"] = _processes(driver, handle)
    found |= _activity(driver, handle)


def _activity(driver: Driver, handle: ctypes.c_void_p) -> dict[str, int]:
    """What else the driver knows: per cent of the time in which a kernel ran, watts, joules since the driver was
    loaded, degrees, megahertz, and bits for why the clock is lowered. What it does not know is left out."""
    found: dict[str, int] = {}
    rates = (ctypes.c_uint * 2)()  # nvmlUtilization_t: gpu, memory
    if driver.code("nvmlDeviceGetUtilizationRates", handle, rates) == 0:
        found["utilization"] = rates[0]
    number = ctypes.c_uint()
    if driver.code("nvmlDeviceGetPowerUsage", handle, ctypes.byref(number)) == 0:
        found["power_mw"] = number.value
    if driver.code("nvmlDeviceGetTemperature", handle, 0, ctypes.byref(number)) == 0:
        found["temperature"] = number.value
    if driver.code("nvmlDeviceGetClockInfo", handle, SM_CLOCK, ctypes.byref(number)) == 0:
        found["clock_mhz"] = number.value
    large = ctypes.c_ulonglong()
    for key, name in (
        ("energy_mj", "nvmlDeviceGetTotalEnergyConsumption"), ("throttle", "nvmlDeviceGetCurrentClocksThrottleReasons"),
    ):  # fmt: skip
        if driver.code(name, handle, ctypes.byref(large)) == 0:
            found[key] = large.value
    return found


def _pci(driver: Driver, handle: ctypes.c_void_p) -> str:
    pci = Pci()
    driver.call("nvmlDeviceGetPciInfo_v3", handle, ctypes.byref(pci))
    return bytes(pci.bus_id).decode(errors="replace")


def _memory(driver: Driver, handle: ctypes.c_void_p) -> tuple[int, int]:
    """All memory and what is in use, in bytes."""
    memory = MemoryV2(version=ctypes.sizeof(MemoryV2) | 2 << 24)
    code = driver.code("nvmlDeviceGetMemoryInfo_v2", handle, ctypes.byref(memory))
    if code == 0:
        return memory.total, memory.used
    if code not in NEWER:
        raise Failed(f"its memory is not known: {driver.sentence(code)}")
    old = MemoryV1()
    driver.call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(old))
    return old.total, old.used


def _mode(driver: Driver, handle: ctypes.c_void_p) -> str:
    mode = ctypes.c_int()
    if driver.code("nvmlDeviceGetComputeMode", handle, ctypes.byref(mode)):
        return COMPUTE_MODES[0]
    return COMPUTE_MODES.get(mode.value, COMPUTE_MODES[0])


def _is_divided(driver: Driver, handle: ctypes.c_void_p) -> bool:
    """True in MIG mode: then not the GPU but its parts are what programs can use."""
    now, later = ctypes.c_uint(), ctypes.c_uint()
    code = driver.code("nvmlDeviceGetMigMode", handle, ctypes.byref(now), ctypes.byref(later))
    return code == 0 and now.value == 1


def _processes(driver: Driver, handle: ctypes.c_void_p) -> list[dict[str, Any]]:
    """The processes that compute on the GPU; `memory` is null where the driver does not know it."""
    number = ctypes.c_uint(MOST_PROCESSES)
    found = (Process * MOST_PROCESSES)()
    code = driver.code("nvmlDeviceGetComputeRunningProcesses_v3", handle, ctypes.byref(number), found)
    if code not in (0, INSUFFICIENT_SIZE, NOT_SUPPORTED):
        raise Failed(f"its processes are not known: {driver.sentence(code)}")
    known = found[: min(number.value, MOST_PROCESSES)] if code != NOT_SUPPORTED else []
    return [{"pid": one.pid, "memory": None if one.memory == UNKNOWN_MEMORY else one.memory} for one in known]


if __name__ == "__main__":
    try:
        answer = look()
    except Failed as problem:
        answer = {"error": str(problem)}
    json.dump(answer, sys.stdout)
