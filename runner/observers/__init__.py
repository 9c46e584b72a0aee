"""Who is told what happens: the records of a batch, a terminal, a log."""
