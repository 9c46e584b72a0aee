"""Tiny Shakespeare in five minutes on two CPU cores: what 0.8 million parameters can learn in that time."""

pipeline = "diffusion"
dataset = "shakespeare_char"

# Every number of masked characters is as likely as any other, spread evenly over the rows of a batch.
training_type = "elbo"

# 0.8 million parameters that see 256 characters at a time. Each position also hears its two neighbours to both sides:
# spelling is local, and attention takes long to find that out.
block_size = 256
batch_size = 16
n_layer = 4
n_head = 4
n_embd = 128
conv_width = 5

# Muon for the matrices halves the steps that AdamW takes to the same loss; the rest takes AdamW at a higher rate.
optimizer = "muon"
muon_learning_rate = 0.02
learning_rate = 3e-3
weight_decay = 1e-2

# The steps that fit into five minutes on two cores with bfloat16 units, down to a rate of zero at the end.
max_iters = 3000
warmup_iters = 100
decay_lr = True
lr_decay_iters = 3000
min_lr = 0.0

# bfloat16 halves what the processor moves; compiling costs half a minute once and saves a third of every step.
dtype = "bfloat16"
compile = True

eval_interval = 450
eval_iters = 20
log_interval = 50
