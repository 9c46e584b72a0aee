"""The torture test of the runner: batches that are killed and resumed, and a witness that counts the faults."""
