"""What is added to a job's environment, where the user has not set it."""

from __future__ import annotations

import netrc
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

SERVERS = ("api.wandb.ai", "api.forge.coreweave.com")  # where versions of wandb log in by default


def additions(environ: Mapping[str, str], out_dir: Path, batch: str, job: str, cache: Path) -> dict[str, str]:
    """Names that are not in `environ` yet -> values."""
    added = {
        "PYTHONUNBUFFERED": "1",  # a line is in the log when it is printed, not when four kilobytes are full
        "WANDB_DIR": str(out_dir),
        "WANDB_RUN_GROUP": batch,
        "WANDB_NAME": job,
        "TORCHINDUCTOR_CACHE_DIR": str(cache),
        "TQDM_MININTERVAL": "1",  # seconds between two states of a progress bar: a log is not a screen
    }
    if not has_wandb_key(environ):
        added["WANDB_MODE"] = "offline"  # without a key wandb would prompt for one, and wait for ever
    return {name: value for name, value in added.items() if name not in environ}


def has_wandb_key(environ: Mapping[str, str], default_server: str = "") -> bool:
    """True if wandb would log in without a prompt: a key in the environment, or one in .netrc for its server.

    `default_server` is the URL that the installed wandb uses unless WANDB_BASE_URL names another; where it is not
    known, a key for any server of wandb counts.
    """
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    path = Path(environ.get("NETRC") or Path(environ.get("HOME", "/")) / ".netrc")
    try:
        logins = netrc.netrc(path)
    except (OSError, netrc.NetrcParseError):
        return False
    if server := urlsplit(environ.get("WANDB_BASE_URL") or default_server).hostname:
        return logins.authenticators(server) is not None
    return any(host in (*SERVERS, "default") or "wandb" in host for host in logins.hosts)
