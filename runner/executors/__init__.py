"""Where jobs run. *How* a job runs is always the same: under one supervisor of its own."""
