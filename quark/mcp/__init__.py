"""Runs for agents: the questions that a language model can ask about them, over the Model Context Protocol."""
