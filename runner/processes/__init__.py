"""What the kernel tells about processes, and signals to them. Standard library only; every supervisor imports it."""
