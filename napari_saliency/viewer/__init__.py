"""Show maps as napari layers; no Qt."""
