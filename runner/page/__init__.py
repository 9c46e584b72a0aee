"""The live page: a server on the loopback interface, and the files that a browser gets."""
