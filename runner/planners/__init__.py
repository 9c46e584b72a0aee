"""Each entry point: what a user asked for -> a Plan, or every error in it. Plans write nothing and run nothing."""
