"""Tiny Shakespeare on one H100 or H200 in five minutes: 10.7 million parameters, a text of one million characters.

On an H100: 1.482 nats per character after 3.2 minutes, 22,088 steps (docs/performance.md). The target was 1.70.
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

# Five minutes on any GPU: 34,000 steps at 1.87 million characters a second.
max_minutes = 5.0
max_iters = 200000
warmup_iters = 300
decay_lr = True
min_lr = 0.0

# So small a network is limited by the host, which starts some 570 kernels a step: graphs triple the speed.
dtype = "auto"  # bfloat16 on a GPU that has it
compile = True
cuda_graphs = True

eval_interval = 2000
eval_iters = 40
log_interval = 200
