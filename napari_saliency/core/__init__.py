"""Data classes and errors that every other package uses; numpy only."""
