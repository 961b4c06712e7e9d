"""What every test shares."""

from hypothesis import settings

# A time limit would test the machine, not the code.
settings.register_profile("teamlink", deadline=None)
settings.load_profile("teamlink")
