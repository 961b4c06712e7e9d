"""The words by which studies are found: practices, goals, and Chicago's five supports."""

from __future__ import annotations

__all__ = ["GOALS", "PRACTICES", "SUPPORTS", "TAGS"]

PRACTICES = (
    "collaboration",
    "data use",
    "instruction",
    "labor-management partnership",
    "lesson study",
    "mentoring",
    "networks",
    "peer observation",
    "planning time",
    "professional community",
    "shared leadership",
    "standards",
    "teacher teams",
)
"""What schools do."""

GOALS = ("climate", "equity", "learning", "retention", "teacher skill")
"""What for."""

SUPPORTS = (
    "family and community ties",
    "instructional guidance",
    "leadership",
    "learning climate",
    "professional capacity",
)
"""The five essential supports of the Chicago studies."""

TAGS = {"practices": PRACTICES, "goals": GOALS, "supports": SUPPORTS}
