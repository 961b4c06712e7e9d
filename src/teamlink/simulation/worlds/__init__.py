"""The simulated worlds, one a file: the kind "school-survey" is the file `school_survey.py`.

Each file names its class as `WORLD`. The protocol is `teamlink.simulation.world.World`.
"""
