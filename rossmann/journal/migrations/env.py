"""Run by Alembic on the connection that `tables.migrate` opened, inside its transaction."""

from alembic import context

from rossmann.journal.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
