"""Recipes of the bundled models: data, training, measuring and samples.

Run through ``python tools/train_bundled.py``; nothing in here is part of the installed package.
"""
