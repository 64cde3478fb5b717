"""Rows of numbers with a label: reading, splitting, training and measuring."""
