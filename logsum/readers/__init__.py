"""Readers of every log that can tell about transfers, each a stream of values."""
