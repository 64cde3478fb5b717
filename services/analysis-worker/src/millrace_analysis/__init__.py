"""Ingestion: data that others made become dataset versions, checked and divided."""
