"""Lets `python -m quark.cli` do what the command `quark` does."""

from .entry import main

if __name__ == "__main__":
    main()
