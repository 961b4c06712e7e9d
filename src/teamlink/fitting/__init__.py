"""The waist: what every engine meets, and what everything after a fit sees."""
