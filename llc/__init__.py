"""What a run of train.py saves beside its results; the application itself is pipelines/llc/application."""
