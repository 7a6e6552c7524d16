"""The database: one schema for SQLite and PostgreSQL, all of SQLAlchemy lives here."""
