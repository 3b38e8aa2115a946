"""The mail that `submit -m` asks for, handed to the machine's own sendmail."""

from __future__ import annotations

import shutil
import subprocess
from email.message import EmailMessage
from typing import TYPE_CHECKING

from archq.console import printable
from archq.errors import TemporaryError
from archq.quantities import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archq.spool import RequestId, SpooledFile, Ticket

_SENDMAIL_PATH = "/usr/sbin:/usr/lib:/sbin"
_SECONDS = 30


def mail_sent(request: RequestId, ticket: Ticket, files: Sequence[SpooledFile]) -> None:
    """Tell the user of ``request`` that all of it was sent; raise TemporaryError if that cannot be done."""
    program = shutil.which("sendmail") or shutil.which("sendmail", path=_SENDMAIL_PATH)
    if program is None:
        raise TemporaryError(f"{request}: no mail to {ticket.user}, as asked for with -m: there is no sendmail here")
    message = _message(request, ticket, files)
    try:
        subprocess.run([program, "-oi", "-t"], input=message.as_bytes(), timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise TemporaryError(f"{request}: no mail to {ticket.user}, as asked for with -m: {error}") from error


def _message(request: RequestId, ticket: Ticket, files: Sequence[SpooledFile]) -> EmailMessage:
    message = EmailMessage()
    message["To"] = ticket.user
    message["Subject"] = f"archq: request {request} was sent"
    lines = [f"{format_size(file.control.size):>10}  {printable(file.control.name)}" for file in files]
    message.set_content("\n".join([f"Request {request} ({printable(ticket.title)}) was sent:", "", *lines, ""]))
    return message
