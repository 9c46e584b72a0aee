"""Records -> values and text. Pure: what they make can be rebuilt at any time."""
