"""Qt widgets of the panel."""
