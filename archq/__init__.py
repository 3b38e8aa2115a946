"""The instrument side of the line, with the vocabulary that all three programs share."""
