"""Classifiers of small images: an MLP, and a network with layer-wise (greedy) training."""
