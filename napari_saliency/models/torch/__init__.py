"""Adapter for PyTorch; the only folder that imports it."""

from __future__ import annotations

from napari_saliency.models.backends import keep_triton_out

keep_triton_out()  # before PyTorch is imported, as each module here does
