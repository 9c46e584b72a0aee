"""text8, to compare with published figures: bits per character of the last five million characters.

Network, windows, batches and steps are those of the papers; optimizer and schedule are ours. Not measured yet: it takes
days on one GPU. Published for networks of this size (upper bounds): MDLM 1.40, MD4 1.37; docs/diffusion.md has the
commands.
"""

pipeline = "diffusion"
dataset = "text8"
training_type = "elbo"

# 85 million parameters: 12 layers of 768, windows of 256 characters.
block_size = 256
n_layer = 12
n_head = 12
n_embd = 768

# 512 windows a step, in four parts, so that 80 GB of memory are enough.
batch_size = 128
gradient_accumulation_steps = 4

learning_rate = 3e-4
max_iters = 1000000
warmup_iters = 2500
decay_lr = True
decay = "linear"
min_lr = 0.0
weight_decay = 3e-2
ema_decay = 0.9999

dtype = "auto"  # bfloat16 on a GPU that has it
compile = True

eval_interval = 10000
eval_iters = 20
log_interval = 500
