"""The live screen of `quark watch`."""
