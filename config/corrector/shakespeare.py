"""Error detection on tiny Shakespeare: up to half of the characters of a text are replaced, and the model predicts
which, and every right character. It marks what a sampler would mask again."""

pipeline = "diffusion"
dataset = "shakespeare_char"

# One class for each character, to be named where it is right, and one for "wrong".
training_type = "remasking"

# A third of the rows have errors scattered anywhere, a third in runs, and in a third runs give way to other pieces of
# the text, which read well in themselves and only do not belong where they stand: the hardest to find.
corruption_type = "mixed"
corruption_weights = [1.0, 1.0, 1.0]
max_corruption_ratio = 0.5

# Replacements are as frequent as in the text: drawn all alike, most would be capitals and digits, easily seen.
corruption_replacement = "unigram"

# Runs begin rarely and grow fast: from a few characters to a few words.
corruption_p1_probability = 0.01
corruption_p2_probability = 0.9

eval_interval = 250
eval_iters = 20
log_interval = 10

wandb_log = False
wandb_project = "experiments_diffusion"
wandb_run_name = "corrector_shakespeare"

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
