"""Sinks that mirror a run into another project's dashboard, one module for each backend."""
