"""Sufficient statistics, wherever the rows live."""
