"""The steps that lead a metadata store from an empty database to `adapters.sql.tables`.

`adapters.sql.migrate` runs them. A new step is a file below `versions`, and `HEAD` its revision; a test
compares the tables that the steps make with the models, on every engine. A step must be repeatable from
wherever a crash left it, because MySQL commits each statement of a schema by itself (`ddl` has the parts).
"""

HEAD = "0002"
"""The newest revision, known without importing Alembic, so that a node can compare it at start-up."""
