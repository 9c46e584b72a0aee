"""Read a config file, apply overrides, report errors in both, and know what a training script accepts."""
