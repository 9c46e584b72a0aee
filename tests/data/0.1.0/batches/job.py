"""A training script that needs no packages: it notes its start, then ends as the config's `do` says.

Once the file `repaired` is in the working folder, every job completes.
"""

import json
import re
import sys
import time
from pathlib import Path

config = Path(sys.argv[1])
out = Path(next(word.partition("=")[2] for word in sys.argv if word.startswith("--out_dir=")))
text = config.read_text()
settings = dict(re.findall(r"^\W*(\w+)\W+([\w.-]+)", text, re.MULTILINE))
settings |= dict(word[2:].split("=", 1) for word in sys.argv[2:] if "=" in word)
do = "complete" if Path("repaired").exists() else settings.get("do", "complete")
lr = float(settings["lr"])

with Path("starts").open("a") as file:
    file.write(f"{out.name} {' '.join(sys.argv[3:])}\n")
print(f"training with learning rate {lr}")
with (out / "metrics.jsonl").open("w") as file:
    for step in (1, 2):
        row = {"iter": step, "max_iters": 2, "train/loss": lr / step, "val/loss": 2 * lr / step}
        file.write(json.dumps(row) + "\n")
        print(f"step {step}: train loss {lr / step}, val loss {2 * lr / step}", flush=True)
(out / "ckpt_2.pt").write_text("weights\n")
if do == "sleep":
    Path("sleeping").touch()
    time.sleep(600)
if do == "fail" or (do == "retry" and not (out / "attempt_1").exists()):
    sys.exit("failed on purpose")
(out / "metrics").mkdir(exist_ok=True)
counts = {"adversarial_success": 3, "adversarial_total": 10, "ood_success": 4, "ood_total": 5, "notes": ""}
(out / "metrics" / "success_counts.json").write_text(json.dumps(counts))
(out / "job.json").write_text(json.dumps({"run_dir": f"runs/{out.name}"}))
