"""Readers of the files in which other programs keep their metrics. Each is imported when such a file was found."""
