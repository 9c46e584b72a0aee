"""Who receives the events of a batch: its master log and views, a terminal, plain lines. Decides nothing."""
