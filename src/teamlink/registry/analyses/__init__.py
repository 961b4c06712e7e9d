"""The analyses that a study may use, one a file: kind "lmm" is the file `lmm.py`.

Each file names its class as `ANALYSIS`. The protocol is `teamlink.registry.analysis.Analysis`.
"""
