"""What goes wrong in a training, said while it goes wrong: rules, health scores, live and after the fact."""
