"""Decide what the panel shows and asks for; no Qt, no napari."""
