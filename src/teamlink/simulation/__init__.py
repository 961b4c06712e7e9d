"""Worlds to draw from."""
