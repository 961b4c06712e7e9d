"""Side-by-side timings of teamlink and its peers: ``python -m benchmarks``."""
