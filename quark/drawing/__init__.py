"""Runs as people see them at a glance: small charts, and a run as HTML."""
