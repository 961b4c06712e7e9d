"""What may be said of any fit."""
