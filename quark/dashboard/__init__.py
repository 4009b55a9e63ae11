"""The pages: what a browser is given by `quark ui` and `quark serve`, and reports as single files."""
