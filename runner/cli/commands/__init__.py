"""One file a command, with `add_arguments` and `main`."""
