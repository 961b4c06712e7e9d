"""What every test shares."""

from hypothesis import settings

# A time limit would test the machine, not the code. Every day a property is tried on a few random
# examples: a wrong formula fails on nearly all of them. `nox -s slow` searches for the rare one.
settings.register_profile("teamlink", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=100)
settings.load_profile("teamlink")
