"""Runs the migrations on the connection that `otpost.store.migrate` hands over."""

from alembic import context

from otpost.store.columns import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
