"""Which settings a trial of a search gets, from what earlier trials reached. Knows no job and no file."""
