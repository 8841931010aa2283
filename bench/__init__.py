"""The benchmark: what a message, a check and a callback cost, beside what the bare parts cost in the same run."""
