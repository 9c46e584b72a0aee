"""The built-in line formats: each module is imported when a line was not understood by those before it."""
