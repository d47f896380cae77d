"""The `.kx` container: a strict subset of safetensors, read and written by our own code.

This package knows bytes, names, element types and shapes; what a model is stands above it.
"""
