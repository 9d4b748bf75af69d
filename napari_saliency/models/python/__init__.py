"""Adapter for Python functions and user modules."""
