"""`@runner.experiment`: configs of a function, computed once and kept."""
