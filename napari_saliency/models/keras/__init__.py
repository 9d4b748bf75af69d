"""Adapter for Keras networks and SavedModels."""
