"""What a job's environment gets in addition, where the user has not set it."""

from __future__ import annotations

import netrc
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

SERVERS = ("api.forge.coreweave.com",)  # where newer versions of wandb log in by default


def additions(environ: Mapping[str, str], out_dir: Path, batch: str, job: str, cache: Path) -> dict[str, str]:
    """Names that are not in `environ` yet -> values."""
    wanted = {
        "PYTHONUNBUFFERED": "1",  # a line is in the log when it is printed, not when four kilobytes are full
        "WANDB_DIR": str(out_dir),
        "WANDB_RUN_GROUP": batch,
        "WANDB_NAME": job,
        "TORCHINDUCTOR_CACHE_DIR": str(cache),
        "TQDM_MININTERVAL": "1",  # seconds between two states of a bar: a log is no screen
    }
    if not has_wandb_key(environ):
        wanted["WANDB_MODE"] = "offline"  # without a key wandb would ask for one, and nobody is there to answer
    return {name: value for name, value in wanted.items() if name not in environ}


def has_wandb_key(environ: Mapping[str, str]) -> bool:
    """True if wandb would find a key: in the environment or in .netrc."""
    if environ.get("WANDB_API_KEY"):
        return True
    path = Path(environ.get("NETRC") or Path(environ.get("HOME", "/")) / ".netrc")
    try:
        hosts = netrc.netrc(path).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    own = urlsplit(environ.get("WANDB_BASE_URL", "")).hostname
    return any(host == own or "wandb" in host or host in SERVERS for host in hosts)
