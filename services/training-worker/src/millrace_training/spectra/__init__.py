"""Gamma spectra: physics, files, preprocessing. Needs numpy only, and pyarrow for the files."""
