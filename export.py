#!/usr/bin/env python3
"""Write a trained model for other programs: python export.py PATH --out=FOLDER [--dtype=bfloat16]

PATH is a checkpoint (ckpt_*.pt), a job's folder or a batch's. The folder gets model.safetensors and config.json, which
docs/export.md describes. Exit codes: 0 done, 2 an error in the command.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with PYTHONSAFEPATH

from pipelines.diffusion.sampling.load import require_model
from pipelines.shared.errors import InputError


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("path", metavar="PATH", type=Path, help="a checkpoint, a job's folder or a batch's")
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="of the weights")
    parser.add_argument("--corrector", action="store_true", help="the path has an error-detection model")
    args = parser.parse_args()
    try:
        require_model(args.path, corrector=args.corrector)
        # Only now that the command is valid: torch alone takes seconds to import.
        import torch

        from pipelines.diffusion.export import export

        model = export(args.path, args.out, getattr(torch, args.dtype), corrector=args.corrector)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {model.model.parameter_count():,} parameters of {model.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
