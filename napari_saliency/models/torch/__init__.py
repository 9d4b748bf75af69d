"""Adapter for PyTorch networks, TorchScript and exported programs."""
