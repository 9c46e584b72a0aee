"""Error detection on tiny Shakespeare with two classes: every character is wrong or right.

As shakespeare.py in all but the head, so that the two can be compared: is it easier to find errors when one must also
name what is right?
"""

pipeline = "diffusion"
dataset = "shakespeare_char"

# Two classes, right and wrong.
training_type = "remasking_binary"

# A third of the rows have errors scattered anywhere, a third in runs, a third in pieces of text from elsewhere.
corruption_type = "mixed"
corruption_weights = [1.0, 1.0, 1.0]
max_corruption_ratio = 0.5
corruption_replacement = "unigram"
corruption_p1_probability = 0.01
corruption_p2_probability = 0.9

eval_interval = 250
eval_iters = 20
log_interval = 10

wandb_log = False
wandb_project = "experiments_diffusion"
wandb_run_name = "corrector_shakespeare_binary"

# 10.7 million parameters, 16 windows of 1024 characters in each step.
batch_size = 16
block_size = 1024
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.01

# A long warm-up to a constant rate.
learning_rate = 1e-3
max_iters = 5000
warmup_iters = 1000
decay_lr = False
weight_decay = 1e-3
grad_clip = 1.0
