"""Hostile files of every format, and the process that opens them."""
