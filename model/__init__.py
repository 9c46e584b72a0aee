"""Networks and objectives: no files, no settings, no printing."""
