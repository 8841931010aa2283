"""Messages: into the outbox, out through a sender service, and what became of each."""
