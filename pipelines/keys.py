"""The types of keys that several pipelines have: numbers, a device, a dataset. Never imports torch or numpy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

DATA = Path(__file__).resolve().parents[1] / "data"

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what every generator takes
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def device_exists(device: str) -> str:
    if re.fullmatch(r"gpu(:\d+)?", device):
        raise ValueError(f"'{device}' is not a device; did you mean '{device.replace('gpu', 'cuda')}'?")
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise ValueError(f"'{device}' is not a device: use auto, cuda, cuda:1, mps or cpu")
    return device


Device = Annotated[str, AfterValidator(device_exists)]  # auto, cuda, cuda:1, mps, cpu


def dataset_folder(name: str) -> Path:
    """data/<name>, or the folder `name` itself when that is a path."""
    return Path(name) if "/" in name else DATA / name


def dataset_of(kind: str) -> AfterValidator:
    """A dataset that is prepared, or can prepare itself, and holds what the pipeline learns: characters, images."""

    def check(name: str) -> str:
        folder = dataset_folder(name)
        known = sorted(path.parent.name for path in DATA.glob("*/prepare.py") if kind_of(path.parent) == kind)
        there = f"there are: {', '.join(known)}"
        if not any((folder / file).is_file() for file in ("meta.json", "prepare.py")):
            raise ValueError(f"there is no dataset '{name}' (no meta.json and no prepare.py in {folder}); {there}")
        if (found := kind_of(folder)) not in (None, kind):
            raise ValueError(f"the dataset '{name}' holds {found}, and {kind} are learned here; {there}")
        return name

    return AfterValidator(check)


def kind_of(folder: Path) -> str | None:
    """What a dataset holds: by its meta.json, else by the line `KIND = "…"` of its prepare.py; None where none says."""
    if found := dataset_meta(folder).get("kind"):
        return str(found)
    try:
        line = re.search(r'^KIND = "(\w+)"', (folder / "prepare.py").read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return None
    return line[1] if line else None


def dataset_meta(folder: Path) -> dict[str, object]:
    """What meta.json says; nothing where the dataset is not prepared yet, or the file is damaged."""
    try:
        found = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
