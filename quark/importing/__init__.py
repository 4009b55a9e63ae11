"""Runs of other trackers, brought into a store: discovery of importers, writing, and checking what was written."""
