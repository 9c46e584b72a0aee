"""The engine. Public names only."""
