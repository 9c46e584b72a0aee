"""The program that owns one job: starts it, keeps its output, stops it, records its end. Standard library only."""
