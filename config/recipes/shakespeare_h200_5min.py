"""Tiny Shakespeare on one H200 in five minutes: 10.7 million parameters, a text of one million characters.

Not run yet, because no such machine was available. The target is at most 1.70 nats per character.
"""

pipeline = "diffusion"
dataset = "shakespeare_char"
training_type = "elbo"

# 10.7 million parameters. The text is read about a hundred times, hence the dropout; the masks regularise as well.
block_size = 256
batch_size = 64
n_layer = 6
n_head = 6
n_embd = 384
conv_width = 5
dropout = 0.2

optimizer = "muon"
muon_learning_rate = 0.02
learning_rate = 3e-3
weight_decay = 5e-2
ema_decay = 0.999

# At 2.5 million characters a second five minutes are 45,000 steps of 16,384, less the time for evaluations.
max_iters = 40000
warmup_iters = 300
decay_lr = True
min_lr = 0.0

dtype = "bfloat16"
compile = True

eval_interval = 2000
eval_iters = 40
log_interval = 200
