"""The variables of the environment by which programs see GPUs: which a job gets, which the caller has set. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runner.gpus.devices import CUDA, ROCM, Gpu, Snapshot

#: Platform -> the variables that choose among all GPUs and, after these, among those that are left.
VARIABLES = {
    CUDA: ("CUDA_VISIBLE_DEVICES",),
    ROCM: ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
}
ORDER = "CUDA_DEVICE_ORDER"
#: For a job that asks for no GPU.
HIDDEN = {name: "" for names in VARIABLES.values() for name in names}


def environment(gpus: Sequence[Gpu], kind: str, ids: str) -> dict[str, str]:
    """What lets a program use these GPUs and no other. `ids`: whether it reads UUIDs or numbers."""
    first, *others = VARIABLES[kind]
    chosen = ",".join(str(gpu.index) if ids == "index" else gpu.uuid for gpu in gpus)
    places = ",".join(map(str, range(len(gpus))))
    order = {ORDER: "PCI_BUS_ID"} if kind == CUDA else {}
    return {first: chosen, **dict.fromkeys(others, places), **order}


def limit(snapshot: Snapshot, environ: Mapping[str, str]) -> tuple[list[Gpu], str | None]:
    """The GPUs that the caller's environment allows, and the words that say so; None: it does not choose."""
    first, *others = VARIABLES[snapshot.kind]
    gpus, said = list(snapshot.gpus), []
    for name in (first, *others):
        if (value := environ.get(name)) is not None:
            gpus = _listed(value, gpus, by_place=name in others)
            said.append(f"{name}={value}")
    return gpus, " ".join(said) or None


def _listed(value: str, gpus: Sequence[Gpu], *, by_place: bool) -> list[Gpu]:
    """The GPUs of a variable, as the driver reads it: the list ends at the first entry that is none of them.

    A GPU that is divided stands for its instances. `by_place`: numbers count those that are left.
    """
    found: list[Gpu] = []
    for word in value.split(","):
        matches = named(word.strip(), gpus, by_place=by_place)
        if len(matches) != 1 or matches[0] in found:
            break
        found += matches
    divided = {gpu.index for gpu in found if gpu.is_divided}
    return [*found, *(gpu for gpu in gpus if gpu.part is not None and gpu.index in divided and gpu not in found)]


def named(word: str, gpus: Sequence[Gpu], *, by_place: bool = False) -> list[Gpu]:
    """The GPUs that a number, `2:0`, or the beginning of a UUID stands for."""
    if by_place and word.isdecimal():
        return list(gpus[int(word) : int(word) + 1])
    if word.isdecimal() or word.partition(":")[0].isdecimal():
        return [gpu for gpu in gpus if gpu.label == word]
    return [gpu for gpu in gpus if word and gpu.uuid.lower().startswith(word.lower())]
