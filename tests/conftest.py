"""What every test shares."""

import gc

from hypothesis import settings

# A time limit would test the machine, not the code. Every day a property is tried on a few random
# examples: a wrong formula fails on nearly all of them. `nox -s slow` searches for the rare one.
settings.register_profile("teamlink", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=100)
settings.load_profile("teamlink")


def pytest_collection_finish() -> None:
    """Leave what is loaded by now, which stays to the end, out of every search for garbage."""
    gc.collect()
    gc.freeze()
