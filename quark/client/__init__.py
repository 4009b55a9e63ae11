"""The client of a Quark service: how it is reached, what it answers, and its runs as every store answers them."""
