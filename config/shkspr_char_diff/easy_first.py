"""Easy first: from a fifth of the characters masked at random to nine tenths masked in long runs."""

pipeline = "diffusion"
dataset = "shakespeare_char"
training_type = "unmasking"

# Scattered gaps come first, then larger and larger fractions and longer and longer runs. If p2 is 0, two masked
# characters are adjacent only by chance; if p2 is far above p1, whole words and lines are masked together.
# Every batch is divided evenly among the stages reached so far. Each stage gets the same part of max_iters. With
# stage_schedule = "stale" the next stage would start after val_loss_stale_count evaluations that did not improve the
# stage's own validation loss: then a training needs more evaluations than max_iters / eval_interval to reach the last.
stage_schedule = "fixed"
unmasking_stages = [
    {"type": "random", "max_masked_ratio": 0.2, "val_loss_stale_count": 10},
    {"type": "sticky", "target_masked_ratio": 0.4, "p1_probability": 0.15, "p2_probability": 0.3,
     "val_loss_stale_count": 6},
    {"type": "sticky", "target_masked_ratio": 0.2, "p1_probability": 0.3, "p2_probability": 0.0,
     "val_loss_stale_count": 2},
    {"type": "sticky", "target_masked_ratio": 0.4, "p1_probability": 0.3, "p2_probability": 0.0,
     "val_loss_stale_count": 4},
    {"type": "sticky", "target_masked_ratio": 0.4, "p1_probability": 0.15, "p2_probability": 0.3,
     "val_loss_stale_count": 6},
    {"type": "sticky", "target_masked_ratio": 0.6, "p1_probability": 0.3, "p2_probability": 0.1,
     "val_loss_stale_count": 8},
    {"type": "sticky", "target_masked_ratio": 0.55, "p1_probability": 0.1, "p2_probability": 0.6,
     "val_loss_stale_count": 10},
    {"type": "sticky", "target_masked_ratio": 0.7, "p1_probability": 0.2, "p2_probability": 0.4,
     "val_loss_stale_count": 15},
    {"type": "sticky", "target_masked_ratio": 0.8, "p1_probability": 0.2, "p2_probability": 0.4,
     "val_loss_stale_count": 20},
    {"type": "sticky", "target_masked_ratio": 0.8, "p1_probability": 0.1, "p2_probability": 0.9,
     "val_loss_stale_count": 20},
    {"type": "sticky", "target_masked_ratio": 0.9, "p1_probability": 0.1, "p2_probability": 0.9,
     "val_loss_stale_count": 20},
]

eval_interval = 50
eval_iters = 20
log_interval = 10

# The run's name on wandb, if wandb_log is true.
wandb_log = False
wandb_project = "experiments_diffusion"
wandb_run_name = "shkspr_char_diff_easy_first"

# 10.7 million parameters, 16 windows of 1024 characters in each step.
batch_size = 16
block_size = 1024
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.01

# A long warm-up to a constant learning rate. lr_decay_iters and min_lr take effect only if decay_lr is true.
learning_rate = 1e-3
max_iters = 5000
warmup_iters = 1000
decay_lr = False
lr_decay_iters = 50000
min_lr = 1e-4
weight_decay = 1e-3
grad_clip = 1.0
