"""A training in the manner of nanoGPT: settings are globals, a configurator changes them, the loop prints its losses."""

import json
import math
import os
import time

out_dir = "out"
eval_interval = 10
init_from = "scratch"
dataset = "shakespeare_char"
wandb_run_name = "gpt"
learning_rate = 1e-3
max_iters = 30
lr_decay_iters = 5000
pad_token = "<pad>"
pause = 0.0
break_at = -1
config_keys = [k for k, v in globals().items() if not k.startswith("_") and isinstance(v, (int, float, bool, str))]
exec(open("configurator.py").read())  # relative to this folder, as in the original
config = {k: globals()[k] for k in config_keys}

os.makedirs(out_dir, exist_ok=True)
checkpoint = os.path.join(out_dir, "ckpt.pt")
iter_num = 0
if init_from == "resume":
    with open(checkpoint) as file:
        iter_num = json.load(file)["iter_num"]
    print(f"Resuming training from {out_dir} at {iter_num}")

print(f"tokens per iteration will be: {16_384:,}")
print("number of parameters: 10.65M")
try:
    while iter_num < max_iters:
        loss = math.exp(-learning_rate * iter_num) + 0.5
        if iter_num == break_at and init_from != "resume":
            raise RuntimeError(f"CUDA error: device-side assert triggered at iteration {iter_num}")
        if iter_num % eval_interval == 0:
            print(f"step {iter_num}: train loss {loss:.4f}, val loss {loss + 0.1:.4f}", flush=True)
        print(f"iter {iter_num}: loss {loss:.4f}, time 12.34ms, mfu 17.05%", flush=True)
        iter_num += 1
        time.sleep(pause)
finally:
    with open(checkpoint, "w") as file:
        json.dump({"iter_num": iter_num, "config": config}, file)
