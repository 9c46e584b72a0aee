"""Each entry point: a user's request -> a Plan, or every error in it. Planners write nothing and run nothing."""
