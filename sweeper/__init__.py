"""The archive side of the line: verify each arrival and file it where it belongs."""
