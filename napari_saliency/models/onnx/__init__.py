"""Adapter for ONNX graphs."""
