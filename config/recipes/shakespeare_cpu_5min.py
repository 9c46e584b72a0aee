"""Tiny Shakespeare in five minutes on two CPU cores: what 0.8 million parameters can learn in that time.

1.77 nats per character on two cores with units for bfloat16 (AMX; 6,300 to 6,700 steps, docs/performance.md). Without
them a step takes more than twice as long.
"""

pipeline = "diffusion"
dataset = "shakespeare_char"

# All numbers of masked characters are equally likely, spread evenly over the rows of a batch.
training_type = "elbo"

# 0.8 million parameters, windows of 256 characters. A convolution mixes each position with two neighbours per side:
# spelling is local, and attention takes long to learn that.
block_size = 256
batch_size = 8  # twice as many steps as with 16 in the same time: lower losses in short trainings
n_layer = 4
n_head = 2  # heads of 64 take 14 % less time than heads of 32, and learn as well
n_embd = 128
conv_width = 5

# Muon for the matrices reaches the same loss in half of AdamW's steps; with batches this small a momentum of 0.8 is
# better than the usual 0.95. The rest (embedding, convolutions, head) uses AdamW, at a rate far above that of a network
# that AdamW trains alone: 3e-3 is 0.1 nats worse.
optimizer = "muon"
muon_learning_rate = 0.014
muon_momentum = 0.8
learning_rate = 1.5e-2
weight_decay = 0.0

# Five minutes on any machine: the learning rate falls with the time that has passed, and is zero at the end.
max_minutes = 5.0
max_iters = 100000
warmup_iters = 100
decay_lr = True
decay = "linear"
min_lr = 0.0

# Compiling costs half a minute once and saves a third of every step, and more in bfloat16, which 'auto' takes where the
# processor has units for it (AMX, AVX-512 BF16).
dtype = "auto"
compile = True

eval_interval = 900
eval_iters = 20
log_interval = 50
