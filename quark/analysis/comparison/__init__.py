"""What differs between runs: metrics, alerts, phases, layers, configuration; one against one, and many against many."""
