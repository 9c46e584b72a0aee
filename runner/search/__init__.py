"""Which settings a trial of a search gets, and which trials end early, from what is known. Knows no job."""
