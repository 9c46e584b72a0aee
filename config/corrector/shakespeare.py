"""An error-detection model for tiny Shakespeare: it reads a text in which up to half of the characters were replaced,
finds these, and predicts every right character. A sampler can mask the detected characters again."""

pipeline = "diffusion"
dataset = "shakespeare_char"

# One class for each character, the target where it is right, and one for "wrong".
training_type = "remasking"

# A third of the rows have scattered errors, a third have runs of errors, and in a third runs are replaced by pieces
# of the text from other places, which are wrong only in their context: the hardest to detect.
corruption_type = "mixed"
corruption_weights = [1.0, 1.0, 1.0]
max_corruption_ratio = 0.5

# Replacements are as frequent as in the text: otherwise most would be capitals and digits, easy to detect.
corruption_replacement = "unigram"

# Runs start rarely and grow fast: from a few characters to a few words.
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

# A long warm-up to a constant learning rate.
learning_rate = 1e-3
max_iters = 5000
warmup_iters = 1000
decay_lr = False
weight_decay = 1e-3
grad_clip = 1.0
