"""The loop over jobs, its protocols and events. Starts no process and writes no file."""
