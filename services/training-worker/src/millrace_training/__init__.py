"""Millrace's training worker: recipes, the training child and the stand-alone commands."""
