"""The place that formats."""
