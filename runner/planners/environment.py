"""What is added to a job's environment, where the user has not set it."""

from __future__ import annotations

import netrc
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

OPENMP = "OMP_NUM_THREADS"
#: What the libraries of numeric programs read for their number of threads: OpenMP (PyTorch), MKL, OpenBLAS (NumPy),
#: numexpr (pandas), Apple's Accelerate.
THREADS = (OPENMP, "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
OF_A_JOB = ("WANDB_DIR", "WANDB_NAME")  # of these additions, those that differ from job to job
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


def threads(environ: Mapping[str, str], workers: int, cpus: float) -> dict[str, str]:
    """Each of several jobs gets its part of the CPUs: by default each would start a thread for every one of them.

    Nothing is added where the user has set one of the variables: some libraries read several of them.
    """
    if workers == 1 or any(name in environ for name in THREADS):
        return {}
    return dict.fromkeys(THREADS, str(max(1, int(cpus / workers))))


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
