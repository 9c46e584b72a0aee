"""The types of settings that several pipelines have: numbers, a device, a dataset. Never imports torch or numpy."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

DATA = Path(__file__).resolve().parents[2] / "data"

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # the range that every generator accepts
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def valid_device(device: str) -> str:
    if re.fullmatch(r"gpu(:\d+)?", device):
        raise ValueError(f"'{device}' is not a device; did you mean '{device.replace('gpu', 'cuda')}'?")
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise ValueError(f"'{device}' is not a device: use auto, cuda, cuda:1, mps or cpu")
    return device


Device = Annotated[str, AfterValidator(valid_device)]  # auto, cuda, cuda:1, mps, cpu


def dataset_folder(name: str) -> Path:
    """data/<name>, or the folder `name` itself when that is a path."""
    return Path(os.path.expanduser(name)) if "/" in name else DATA / name  # noqa: PTH111 - never raises


def text_file(name: str) -> Path:
    """The text file that `name` means when it is not the name of a dataset; relative to the current directory."""
    return Path(os.path.expanduser(name))  # noqa: PTH111 - never raises


def is_dataset(name: str) -> bool:
    """True for a folder that is prepared or can prepare itself."""
    return any((dataset_folder(name) / file).is_file() for file in ("meta.json", "prepare.py"))


def dataset_of(kind: str, *others: str, files: bool = False) -> AfterValidator:
    """Check that a dataset is prepared, or can prepare itself, and holds `kind` or one of `others`.

    Messages name the first kind. `files`: any text file is accepted, too.
    """

    def check(name: str) -> str:
        if is_dataset(name):
            if (found := kind_of(dataset_folder(name))) not in (None, kind, *others):
                raise ValueError(
                    f"the dataset '{name}' holds {found}, but this pipeline trains on {kind}; {available()}"
                )
        elif not files or not text_file(name).is_file():
            nor_file = f", and no text file at {text_file(name)}" if files else ""
            missing = f"no meta.json and no prepare.py in {dataset_folder(name)}{nor_file}"
            raise ValueError(f"there is no dataset '{name}' ({missing}); {available()}")
        elif not os.access(text_file(name), os.R_OK):
            raise ValueError(f"the text '{name}' cannot be read; change its permissions")
        elif not text_file(name).stat().st_size:
            raise ValueError(f"the text '{name}' is empty")
        return name

    def available() -> str:
        known = sorted(path.parent.name for path in DATA.glob("*/prepare.py") if kind_of(path.parent) == kind)
        return f"available: {', '.join(known)}"

    return AfterValidator(check)


def kind_of(folder: Path) -> str | None:
    """What a dataset holds: by its meta.json, else by the line `KIND = "…"` of its prepare.py; None without either."""
    if found := dataset_meta(folder).get("kind"):
        return str(found)
    try:
        line = re.search(r'^KIND = "(\w+)"', (folder / "prepare.py").read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return None
    return line[1] if line else None


def unprepared_by_script(name: str) -> list[str] | None:
    """The program that prepares a dataset; None where it is prepared already, or has no such program."""
    folder = dataset_folder(name)
    script = folder / "prepare.py"
    return [str(script)] if script.is_file() and not (folder / "meta.json").is_file() else None


def dataset_meta(folder: Path) -> dict[str, object]:
    """The content of meta.json; empty where the dataset is not prepared yet, or the file is damaged."""
    try:
        found = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
