"""The comparison of jobs: groups without the seed, what can be told apart, what mattered, what failed. Pure."""
