"""The plain masked-diffusion objective on tiny Shakespeare, no curriculum: what the curricula are compared with."""

pipeline = "diffusion"
dataset = "shakespeare_char"

# Every number of masked characters is as likely as any other, and weighs so that the mean bounds the likelihood.
training_type = "elbo"

eval_interval = 250
eval_iters = 20
log_interval = 10

wandb_log = False
wandb_project = "experiments_diffusion"
wandb_run_name = "shakespeare_elbo"

# 10.7 million parameters, 16 windows of 1024 characters in each step: the size of config/shkspr_char_diff/.
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
