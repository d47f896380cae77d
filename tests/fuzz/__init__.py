"""Fuzzing of every reader."""
