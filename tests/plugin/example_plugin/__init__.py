"""One entry of each kind."""
