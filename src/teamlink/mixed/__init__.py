"""Engine one: linear mixed models."""
