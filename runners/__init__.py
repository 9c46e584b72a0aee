"""Entry points for a tree of configs; runner/ does the work."""
