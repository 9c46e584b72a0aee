"""A program of the user's own for one subdirectory of the tree of configs."""

import json
from pathlib import Path

folder = Path("outputs/own/x")
(folder / "metrics").mkdir(parents=True, exist_ok=True)
counts = {"adversarial_success": 1, "adversarial_total": 2, "ood_success": 1, "ood_total": 4, "notes": ""}
(folder / "metrics" / "success_counts.json").write_text(json.dumps(counts))
(folder / "metadata.json").write_text(json.dumps({"status": "completed", "duration_seconds": 0.5}))
with Path("starts").open("a") as file:
    file.write("run_own\n")
