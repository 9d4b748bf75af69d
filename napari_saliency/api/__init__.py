"""Run models and methods in this process: what a notebook calls."""
