"""Structural equation models, for one and two levels."""
