"""Super hard first, shortened: nine tenths masked in long runs from the first batch on, easier stages afterwards.

For two CPU cores and less than a minute; config/shkspr_char_diff/super_hard_first.py is the full version.
"""

pipeline = "diffusion"
training_type = "unmasking"

# The help texts of Python itself: no download, prepared by the first training that uses them.
dataset = "pydoc_char"

# The control for easy: almost everything is masked at first, the easy gaps come afterwards.
# The next stage starts at the first evaluation that improves the stage's validation loss by less than min_improvement
# (nats per masked character); every batch is divided evenly among the stages reached so far.
unmasking_stages = [
    {"type": "sticky", "target_masked_ratio": 0.9, "p1_probability": 0.1, "p2_probability": 0.9,
     "val_loss_stale_count": 1},
    {"type": "random", "max_masked_ratio": 0.5, "val_loss_stale_count": 1},
    {"type": "sticky", "target_masked_ratio": 0.4, "p1_probability": 0.15, "p2_probability": 0.3,
     "val_loss_stale_count": 1},
    {"type": "sticky", "target_masked_ratio": 0.7, "p1_probability": 0.2, "p2_probability": 0.4,
     "val_loss_stale_count": 1},
]
min_improvement = 0.1
eval_interval = 50
eval_iters = 8
log_interval = 10

# 0.6 million parameters, windows of 64 characters.
batch_size = 16
block_size = 64
n_layer = 3
n_head = 4
n_embd = 128

# In a short training the learning rate should decrease almost to zero.
learning_rate = 2e-3
max_iters = 1000
warmup_iters = 50
decay_lr = True
min_lr = 1e-4
weight_decay = 1e-2
grad_clip = 1.0
wandb_log = False
