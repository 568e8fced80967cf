"""The only home of asyncpg and of SQL."""
