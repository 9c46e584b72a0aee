"""What a program says about itself in its output: lines and files -> iterations and metrics. Standard library only."""
