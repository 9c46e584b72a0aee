"""Tiny Shakespeare in five minutes on two CPU cores: what 0.8 million parameters can learn in that time."""

pipeline = "diffusion"
dataset = "shakespeare_char"

# All numbers of masked characters are equally likely, spread evenly over the rows of a batch.
training_type = "elbo"

# 0.8 million parameters, windows of 256 characters. A convolution mixes each position with two neighbours per side:
# spelling is local, and attention takes long to learn that.
block_size = 256
batch_size = 16
n_layer = 4
n_head = 4
n_embd = 128
conv_width = 5

# Muon for the matrices reaches the same loss in half of AdamW's steps; the rest uses AdamW at a higher rate.
optimizer = "muon"
muon_learning_rate = 0.02
learning_rate = 3e-3
weight_decay = 1e-2

# The steps that fit into five minutes on two cores with bfloat16 units; the learning rate is zero at the end.
max_iters = 3000
warmup_iters = 100
decay_lr = True
min_lr = 0.0

# bfloat16 halves the memory traffic; compiling costs half a minute once and saves a third of every step.
dtype = "bfloat16"
compile = True

eval_interval = 450
eval_iters = 20
log_interval = 50
