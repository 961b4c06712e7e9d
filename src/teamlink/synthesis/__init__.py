"""Evidence of several studies together: effects pooled, and what makes them differ."""
