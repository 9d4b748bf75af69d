"""The sections of the panel, from top to bottom; each follows the inspection by itself."""
