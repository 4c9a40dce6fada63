"""Labels in tables: one row an object."""
