"""Front doors: each module turns what a user asked for into a Plan, and runs nothing."""
