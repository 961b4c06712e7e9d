"""Mediation by named design: equations, effects at their levels, intervals, sensitivity."""
