"""The name of every file that a run writes. Knows no contents."""

from __future__ import annotations

from pathlib import Path

from pipelines.robustness import counts
from pipelines.shared.errors import InputError

IMAGES, RAW, FEATURES, METRICS, LOGS = "images", "raw", "raw/features", "metrics", "logs"
FOLDERS = (IMAGES, RAW, FEATURES, METRICS, LOGS)
EVAL_ADV, EVAL_OOD, RECORDS = "raw/eval_adv.npz", "raw/eval_ood.npz", counts.RECORDS[0]
METRICS_JSON = "metrics/metrics.json"
COUNTS_JSON, COUNTS_CSV = counts.SUCCESS_COUNTS, "metrics/success_counts.csv"
RUN_LOG, SUMMARY_LOG, ERROR_TXT = "logs/run.log", "logs/summary.log", "logs/error.txt"
METADATA = "metadata.json"
OURS = (EVAL_ADV, EVAL_OOD, RECORDS, METRICS_JSON, COUNTS_JSON, COUNTS_CSV, RUN_LOG, SUMMARY_LOG, ERROR_TXT, METADATA)
PATTERNS = (f"{FEATURES}/*__*.npy", f"{FEATURES}/*__*.csv", f"{FEATURES}/*__*.parquet", f"{IMAGES}/*.png")


def feature(split_and_kind: str, key: str) -> str:
    """`test_adv`, `msp` -> raw/features/test_adv__msp.npy"""
    return f"{FEATURES}/{split_and_kind}__{key}.npy"


def make(out_dir: Path) -> None:
    """Create the folders, and remove the files of an earlier run there, so that no results are mixed.

    Raises InputError where a folder cannot be created."""
    for folder in FOLDERS:
        try:
            (out_dir / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot create {out_dir / folder}: {error.strerror}; name another --out_dir") from error
    for path in [*(out_dir / name for name in OURS), *(path for pattern in PATTERNS for path in out_dir.glob(pattern))]:
        path.unlink(missing_ok=True)
