"""The way to an SSH host: what ssh's own configuration says where the queue's URL is silent."""

from __future__ import annotations

import glob
import os
import re
import shlex
import stat
from typing import TYPE_CHECKING, Any

from archq.errors import ConfigurationError, from_os_error
from archq.light import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archq.transports.destination import Destination

SYSTEM_FILE = "/etc/ssh/ssh_config"
MOST_INCLUDES = 16  # one in another, as in ssh

# A user may be named by whoever submits a request, and a proxy's command is read by a shell.
_SAFE_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*", re.ASCII)
_INCLUDE = re.compile(r"\s*include(?:\s*=\s*|\s+)(?P<paths>\S.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where to connect to, as whom, by which keys, and through which command if not directly."""

    host: str
    port: int
    user: str | None = None
    listed_as: str | None = None  # the name of its host key, where that is not host and port
    keys: tuple[str, ...] = ()  # paths of private keys
    keys_only: bool = False  # none but these
    proxy: str | None = None  # a shell command whose standard input and output lead to the host


def route_to(destination: Destination) -> Route:
    """Return the way to ``destination``; raise ConfigurationError for an ssh configuration that cannot be used.

    ~/.ssh/config comes first, then the system's; of a setting the first value counts.
    """
    said = _settings(destination)
    host, port = said.get("hostname", destination.host), int(said.get("port", destination.port))
    proxy = _proxy(said, host, port)
    if proxy and destination.user and not _SAFE_USER.fullmatch(destination.user):
        raise ConfigurationError(f"{destination}: a user with such characters cannot go through a proxy command")
    identities = said.get("identityfile", [])
    return Route(
        host=host,
        port=port,
        user=destination.user or said.get("user"),
        listed_as=said.get("hostkeyalias"),
        keys=tuple(os.path.expanduser(path) for path in identities if path != "none"),
        keys_only=said.get("identitiesonly") == "yes",
        proxy=proxy,
    )


def _proxy(said: Mapping[str, Any], host: str, port: int) -> str | None:
    command: str | None = said.get("proxycommand")
    if command:
        return command
    jumps = said.get("proxyjump")
    if not jumps or jumps == "none":
        return None
    *before, last = (jump.strip() for jump in jumps.split(","))
    words = ["ssh", "-o", "BatchMode=yes", *(["-J", ",".join(before)] if before else [])]
    return shlex.join([*words, "-W", f"[{host}]:{port}", last if "://" in last else f"ssh://{last}"])


def _settings(destination: Destination) -> dict[str, Any]:
    import paramiko

    host = destination.host
    own = os.path.expanduser("~/.ssh/config")
    text = "\n".join([*_said_by_url(destination), *_lines(own), "Host *", *_lines(SYSTEM_FILE)])
    try:
        found: dict[str, Any] = dict(paramiko.SSHConfig.from_text(text).lookup(host))
        int(found.get("port", 0))
    except (paramiko.SSHException, ImportError, KeyError, ValueError) as error:
        raise ConfigurationError(
            f"{own} or {SYSTEM_FILE} cannot be used for {host}: {error}: "
            "write user, host and port into the queue's url, under a name that no Host line there matches"
        ) from error
    return found


def _said_by_url(destination: Destination) -> Iterator[str]:
    """Yield first, so that it wins and a proxy's command is told it too, what the URL says."""
    yield "Host *"
    if destination.port_given:
        yield f"Port {destination.port}"
    if destination.user and _SAFE_USER.fullmatch(destination.user):
        yield f"User {destination.user}"


def _lines(path: str, depth: int = 0) -> Iterator[str]:
    """Yield the lines of a configuration, included files in their places; a file that is missing has none."""
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            _refuse_writable(os.fstat(file.fileno()), path)
            lines = file.read().split("\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(str(from_os_error(error, f"read {path}"))) from error
    for line in lines:
        include = _INCLUDE.fullmatch(line)
        if not include:
            yield line
        elif depth < MOST_INCLUDES:
            for included in _included(include["paths"], os.path.dirname(path)):
                yield from _lines(included, depth + 1)


def _included(patterns: str, directory: str) -> Iterator[str]:
    for pattern in shlex.split(patterns):
        yield from sorted(glob.glob(os.path.join(directory, os.path.expanduser(pattern))))


def _refuse_writable(status: os.stat_result, path: str) -> None:
    """Refuse what ssh refuses: a proxy's command stands in it."""
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(f"{path} may be changed by others: chown it to this account and chmod go-w {path}")
