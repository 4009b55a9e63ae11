"""Importers: readers of what other trackers wrote, one file each, for `quark import`."""
