"""What the readers could not use: counted, so that it can be told and nothing is dropped silently."""

from __future__ import annotations


class Problems:
    """Counts of lines by file and kind, with the first example of each, and warnings as they came."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self.examples: dict[tuple[str, str], str] = {}
        self.warnings: list[str] = []

    def unreadable(self, path: str, line: bytes, reason: str = "cannot be read") -> None:
        """Count a line of ``path``."""
        key = (path, reason)
        self.counts[key] = self.counts.get(key, 0) + 1
        self.examples.setdefault(key, line[:80].decode("utf-8", "backslashreplace").rstrip("\n"))

    def warn(self, message: str) -> None:
        """Keep ``message`` for the user, once."""
        if message not in self.warnings:
            self.warnings.append(message)

    def add(self, others: Problems) -> None:
        """Count what another reader could not use, too."""
        for key, count in others.counts.items():
            self.counts[key] = self.counts.get(key, 0) + count
            self.examples.setdefault(key, others.examples[key])
        for message in others.warnings:
            self.warn(message)

    def messages(self) -> list[str]:
        """Return one sentence for each warning, and for each file and kind of trouble in it."""
        return self.warnings + [
            f"{path}: {count} line{'s' * (count > 1)} skipped: {reason}; the first is {self.examples[path, reason]!r}"
            for (path, reason), count in self.counts.items()
        ]
