"""How fast archq is, beside what a user would pick instead: the same work, in one run, on one machine."""
