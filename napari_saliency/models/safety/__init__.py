"""Examine a file before any framework reads it."""
