"""The migrations of a store, in the order of their numbers."""
