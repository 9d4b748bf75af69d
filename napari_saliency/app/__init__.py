"""Entry points: command line, demo, sample data, viewer process."""
