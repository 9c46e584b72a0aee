"""The robustness pipeline under the import name that other programs use."""
