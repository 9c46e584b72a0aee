"""What the kernel knows of processes, and signals to them. Standard library only; every supervisor imports it."""
