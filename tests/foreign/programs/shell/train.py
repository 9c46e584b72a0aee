"""What the wrapper starts: key = value lines as its config, a checkpoint at the end, at Ctrl+C too."""

import sys
import time
from pathlib import Path


def main() -> None:
    config, folder, *rest = sys.argv[1:]
    settings = dict(line.split(" = ") for line in Path(config).read_text().splitlines())
    settings |= dict(word.removeprefix("--").split("=") for word in rest)
    model = Path(folder, "model.pth")
    step = int(Path(settings["resume"]).read_text()) if "resume" in settings else 0
    try:
        while step < int(settings["epochs"]):
            step += 1
            if step == int(settings.get("break_at", -1)) and "resume" not in settings:
                print("FATAL: dataset not found: corpus.bin")
                sys.exit(3)
            loss, accuracy = 1 / step, 1 - 1 / (step + 1)
            print(f"Epoch [{step}/{settings['epochs']}], Step [10/10], Loss: {loss:.4f}, Acc: {accuracy:.4f}", flush=True)
            time.sleep(float(settings.get("pause", 0)))
    finally:
        model.write_text(str(step))


if __name__ == "__main__":
    main()
