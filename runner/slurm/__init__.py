"""What Slurm is asked for and what it answers, and the files of a batch that concern it. Starts no job itself."""
