"""One line of an FTP server's transfer log, as wu-ftpd's xferlog(5) has it."""

from __future__ import annotations

import time


def xferlog_line(
    *, ended: float, seconds: float, host: str, size: int, path: str, incoming: bool, user: str, complete: bool
) -> str:
    """Return the line of one transfer: whole seconds, at least one; the stamp in the local zone; sizes in bytes."""
    return (
        f"{time.ctime(ended)} {max(1, round(seconds))} {host} {size} {path.replace(' ', '_')} b _ "
        f"{'i' if incoming else 'o'} r {user} ftp 0 * {'c' if complete else 'i'}\n"
    )
