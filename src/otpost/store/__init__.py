"""The only place with SQL, for SQLite and PostgreSQL."""
