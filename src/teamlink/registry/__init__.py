"""The cited studies, each a text file that anybody can simulate, re-estimate and check."""
