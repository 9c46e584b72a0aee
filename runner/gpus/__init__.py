"""GPUs that are shared between batches and users: look at them, choose some, lease them to jobs."""
