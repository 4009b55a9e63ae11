"""Callbacks that attach Quark to training frameworks, one module for each framework."""
