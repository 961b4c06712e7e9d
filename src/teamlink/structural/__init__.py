"""Structural equations: the engine, from the language to the fit."""
