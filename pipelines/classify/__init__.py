"""Classifiers of small images: an MLP, and a network whose layers learn greedily."""
