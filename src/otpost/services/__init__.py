"""One function = one use case = one unit of work."""
