"""The version of the three programs, in the one place that says it."""

__version__ = "0.1.0"
