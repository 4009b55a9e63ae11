"""Runs a command and sees to it that its run ends with a true status: what ``quark run`` does."""

from .launcher import Launcher

__all__ = ["Launcher"]
