"""A report as text, data, table, plot or page."""
