"""The metadata store on MySQL or MariaDB and on SQLite, over SQLAlchemy Core."""
