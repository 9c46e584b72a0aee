"""Networks and objectives, nothing else: no files, no settings, no printing."""
