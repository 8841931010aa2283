"""The database: one writer over two drivers, SQLite and PostgreSQL, and the schema."""
