"""All SQL of the service. The only package that uses asyncpg."""
