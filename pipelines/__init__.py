"""What a job does: one folder per kind of training. Knows nothing of the runner."""
