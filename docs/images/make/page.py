"""Make docs/images/page*.png: the live page over a batch that runs, light and dark, on a desk and on a phone.

python docs/images/make/page.py     (needs Chromium, playwright and Pillow)

Nine short jobs: four complete, two fail, and three run while the pictures are made.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ROOT / "docs" / "images"
PROGRAM = str(ROOT / "run_experiments.py")
JOB = """\
import json, math, os, random, sys, time
lr, width, seed, slow = 0.001, 64, 0, 0.0
exec(open(sys.argv[1]).read())
random.seed(seed * 100 + width + lr)
best = 1.35 + 0.6 / math.log2(width) + abs(math.log10(lr) + 2.5) * 0.22
print("\\x1b[36mreading shakespeare\\x1b[0m: 1,115,394 characters, 65 different", flush=True)
print(f"model with {width * width * 12 // 1000}k parameters, lr {lr:g}", flush=True)
if width == 512:
    raise RuntimeError("CUDA out of memory. Tried to allocate 2.50 GiB.")
with open(os.environ["OUT"] + "/metrics.jsonl", "a", buffering=1) as file:
    for step in range(0, 3001, 20):
        loss = best + (4.2 - best) * math.exp(-step * (0.3 + lr * 40) / 400) + random.gauss(0, 0.03)
        if lr == 0.1 and step > 900:
            loss = float("nan")
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000+00:00", time.gmtime())
        row = {"iter": step, "max_iters": 3000, "train/loss": loss, "time": now}
        if step % 60 == 0:
            row["val/loss"] = loss + 0.05 + step / 60000
            print(f"step {step}: train loss {loss:.4f}, \\x1b[32mval loss {row['val/loss']:.4f}\\x1b[0m", flush=True)
        file.write(json.dumps(row) + "\\n")
        if loss != loss and step > 1200:
            raise FloatingPointError(f"the loss is nan at step {step}")
        time.sleep(slow)
"""
SETTINGS = [(lr, width, 0.0) for lr in (0.001, 0.003) for width in (64, 256)]
SETTINGS += [(0.1, 64, 0.0), (0.003, 512, 0.0), (0.01, 64, 0.5), (0.01, 128, 0.55), (0.03, 128, 0.6)]
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync", "--hide-scrollbars")  # fmt: skip
DESK, PHONE = {"width": 1280, "height": 1260}, {"width": 390, "height": 1240}


FAR_ENOUGH = """() => { const bars = [...document.querySelectorAll("section[aria-label='Running jobs'] progress")];
    return bars.length === 3 && bars.every((one) => one.value > 0.2); }"""


def started(folder: Path) -> tuple[subprocess.Popen[bytes], subprocess.Popen[str], str]:
    """The batch, the page, and its address."""
    (folder / "train.py").write_text(JOB)
    (folder / "config").mkdir()
    for at, (lr, width, slow) in enumerate(SETTINGS):
        text = f"lr = {lr}\nwidth = {width}\nslow = {slow}\n"
        (folder / f"config/{at}_lr{lr}_w{width}.py").write_text(text)
    command = f"env OUT={{out_dir}} {sys.executable} train.py {{config}}"
    words = ["--configs", "config/*.py", "--name", "night", "--command", command, "--max-workers", "3"]
    batch = subprocess.Popen([sys.executable, PROGRAM, *words], cwd=folder, stdout=subprocess.DEVNULL)
    environ = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    page = subprocess.Popen(
        [sys.executable, PROGRAM, "serve", "--port", "0"], cwd=folder, env=environ, stdout=subprocess.PIPE, text=True
    )
    assert page.stdout is not None
    address = re.search(r"http://127\S+", page.stdout.readline())
    assert address is not None
    return batch, page, address[0]


def taken(page: Any, name: str, clip: dict[str, int] | None = None) -> None:
    """Keep what is on the screen, or a part of it, in few colours."""
    page.mouse.move(0, 0)
    time.sleep(0.7)
    whole = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    picture = whole.quantize(256, Image.Quantize.MAXCOVERAGE)
    written = io.BytesIO()
    picture.save(written, "png", optimize=True)
    path = IMAGES / f"{name}.png"
    path.write_bytes(written.getvalue())
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def pictures(browser: Any, address: str) -> None:
    for scheme in ("light", "dark"):
        end = "" if scheme == "light" else "_dark"
        for size, kind in ((DESK, ""), (PHONE, "_phone")):
            context = browser.new_context(viewport=size, color_scheme=scheme)
            page = context.new_page()
            page.set_default_timeout(120_000)
            page.goto(address)
            page.wait_for_selector("tbody tr a")
            page.click("tbody tr a")
            page.wait_for_function(FAR_ENOUGH)
            page.wait_for_selector(".chart canvas")
            taken(page, f"page{kind}{end}")
            if not kind:
                page.click("section[aria-label=Failures] h3 a >> nth=0")
                page.wait_for_selector(".log div.error")
                page.keyboard.press("e")
                page.wait_for_selector(".log .hit")
                taken(page, f"page_log{end}")
                page.go_back()
                page.click("text=Comparison")
                page.get_by_role("slider", name="lr, lowest").press("ArrowUp")
                page.evaluate("scrollBy(0, document.querySelector('.compare').getBoundingClientRect().top - 640)")
                taken(page, f"page_compare{end}", {"x": 0, "y": 0, "width": DESK["width"], "height": 630})
            context.close()


def main() -> None:
    chromium = shutil.which("chromium") or sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        batch, page, address = started(Path(name))
        browser = playwright.chromium.launch(executable_path=chromium, args=list(OPTIONS), timeout=120_000)
        try:
            pictures(browser, address)
        finally:
            browser.close()
            page.terminate()
            page.wait()
            subprocess.run([sys.executable, PROGRAM, "stop", "--now"], cwd=name, check=False, capture_output=True)
            batch.wait()


if __name__ == "__main__":
    main()
