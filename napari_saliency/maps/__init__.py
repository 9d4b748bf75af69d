"""Explanations and how they are displayed: reduction, colormaps, placement."""
