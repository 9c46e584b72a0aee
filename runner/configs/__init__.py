"""Read a config file, apply overrides, say what is wrong with them, and know what a training script accepts."""
