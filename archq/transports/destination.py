"""Where a queue's files go: a URL, taken apart and checked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

from archq.errors import ConfigurationError, UsageError
from archq.light import dataclass, field, replace

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from archq.options import Remote

SCHEMES = {"sftp": 22, "ftp": 21, "ftps": 21, "file": 0}  # and their ports; ftps is explicit TLS, as RFC 4217 has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A directory at a host, with the account to use.  ``path`` is as the account sees it; "" is where it starts."""

    scheme: str
    host: str = ""
    port: int = 0
    port_given: bool = False  # by whoever wrote the URL, so that ssh's own configuration does not overrule it
    user: str | None = None
    path: str = ""
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.scheme == "file":
            return f"file:{self.path}"
        account = f"{self.user}@" if self.user else ""
        port = "" if self.port == SCHEMES[self.scheme] else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        own = "/~/" if self.path and not self.path.startswith("/") else ""
        return f"{self.scheme}://{account}{host}{port}{own}{self.path}"

    @classmethod
    def parse(cls, url: str, where: str) -> Self:
        """Return what ``url`` says; raise ConfigurationError, which names ``where`` it stands.

        ``/~/`` at the beginning of the path means the account's own directory.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigurationError(f"{where}: not a URL: {error}") from error
        if parts.scheme not in SCHEMES:
            instead = f", not with {parts.scheme!r}" if parts.scheme else ""
            raise ConfigurationError(f"{where}: begin it with sftp://, ftp://, ftps:// or file:{instead}")
        if parts.password is not None:
            raise ConfigurationError(f"{where}: a password does not belong into a URL: use password_file")
        if "#" in url or "?" in url:
            raise ConfigurationError(f"{where}: write %23 for '#' and %3F for '?' in a path")
        return cls(
            scheme=parts.scheme,
            host=_checked_host(parts, where),
            port=port or SCHEMES[parts.scheme],
            port_given=bool(port),
            user=_printable(unquote(parts.username), f"{where}: a user") if parts.username else None,
            path=_path(parts.scheme, unquote(parts.path), where),
        )

    def redirected(self, remote: Remote) -> Self:
        """Return this destination with what one request says instead (``-o remhost=…`` and its like).

        Raise UsageError for what cannot be.
        """
        if remote.host and self.scheme == "file":
            raise UsageError("-o remhost: the queue writes to a directory of this machine")
        host, port = _host_and_port(remote.host, self.port) if remote.host else (self.host, self.port)
        return replace(
            self,
            host=host,
            port=port,
            port_given=self.port_given or port != self.port,
            user=remote.user or self.user,
            path=_requested_path(self.scheme, remote.path) if remote.path else self.path,
            password=remote.password,
        )


def _checked_host(parts: SplitResult, where: str) -> str:
    if parts.scheme != "file":
        if not parts.hostname:
            raise ConfigurationError(f"{where}: names no host; write {parts.scheme}://user@host/directory")
        return _host_as_written(parts.netloc, parts.hostname)
    if parts.netloc not in ("", "localhost"):
        where_it_goes = f"file:/{parts.netloc}{parts.path}"
        raise ConfigurationError(f"{where}: a file: URL is a directory of this machine; write {where_it_goes}")
    return ""


def _host_as_written(authority: str, host: str) -> str:
    """Return ``host`` in its own letters: the aliases in ssh's configuration are not all in lower case."""
    lowered = authority.lower()
    start = lowered.rfind(host.lower())  # of which the zone of an IPv6 address is not in lower case yet
    is_found = start >= 0 and len(lowered) == len(authority)
    return authority[start : start + len(host)] if is_found else host


def _host_and_port(text: str, port: int) -> tuple[str, int]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, int(rest[1:]) if rest[1:] else port
    host, colon, number = text.partition(":")
    return host, int(number) if colon else port


def _requested_path(scheme: str, path: str) -> str:
    try:
        return _path(scheme, path, "-o rempath")
    except ConfigurationError as error:
        raise UsageError(str(error)) from error


def _path(scheme: str, path: str, where: str) -> str:
    if scheme == "file" and not os.path.isabs(path):
        raise ConfigurationError(f"{where}: not an absolute path: {path!r}; write file:/directory")
    _printable(path, f"{where}: a path")
    return path.removeprefix("/~/") if path.startswith("/~/") else "" if path == "/~" else path


def _printable(text: str, what: str) -> str:
    """Refuse what would end a line of FTP's and begin another."""
    if any(character in text for character in "\r\n\0"):
        raise ConfigurationError(f"{what} with control characters")
    return text
