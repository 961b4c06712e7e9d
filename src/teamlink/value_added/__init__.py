"""Value added: effects of teachers and schools on scores, and returns to experience."""
