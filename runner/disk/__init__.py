"""Everything that is on the disk: names of files, safe reads, atomic writes, locks, attempts, records."""
