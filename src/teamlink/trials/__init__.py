"""Trials and comparisons of schools: cluster trials, difference-in-differences, matching."""
