"""Real servers for every test: each is started once a run, and each test gets an empty incoming directory."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.requirements import require
from tests.servers import proftpd, pureftpd, sshd, vsftpd
from tests.servers.process import RunningServer, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    Start = Callable[[], AbstractContextManager[RunningServer]]

DROP_BOXES: dict[str, Start] = {
    "vsftpd": partial(vsftpd.running, "upload-only"),
    "proftpd": partial(proftpd.running, "upload-only"),
    "pureftpd": partial(pureftpd.running, "upload-only"),
    "sshd": partial(sshd.running, "upload-only"),
}
FULL_ACCOUNTS: dict[str, Start] = {
    "vsftpd": partial(vsftpd.running, "full"),
    "proftpd": partial(proftpd.running, "full"),
    "pureftpd": partial(pureftpd.running, "full"),
    "sshd": partial(sshd.running, "full"),
}
WITHOUT_RESTARTS: Start = partial(proftpd.running, "full", restarts=False)
OVER_TLS: Start = partial(vsftpd.running, "full", tls=True)


class Fleet:
    """The servers of one test run, started when first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.servers: dict[Start, RunningServer] = {}
        self.missing: dict[Start, str] = {}  # and why

    def lend(self, start: Start) -> RunningServer:
        """Give a server that answers and whose incoming directory is empty."""
        if start not in {*self.servers, *self.missing}:
            self._start(start)
        require(start in self.servers, self.missing.get(start, ""))
        server = self.servers[start]
        server.start()
        server.renew()
        return server

    def _start(self, start: Start) -> None:
        try:
            self.servers[start] = self.stack.enter_context(start())
        except UnavailableError as error:
            self.missing[start] = str(error)


def pytest_configure() -> None:
    # `timeout` and a cancelled job send SIGTERM: end as after Ctrl-C, so that servers and directories go away.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell lets its background jobs ignore Ctrl-C, and so would every program that is to be interrupted here.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(stack)


@pytest.fixture(params=DROP_BOXES)
def drop_box(request: pytest.FixtureRequest, fleet: Fleet) -> RunningServer:
    """Each of the upload-only accounts."""
    return fleet.lend(DROP_BOXES[request.param])


@pytest.fixture(params=FULL_ACCOUNTS)
def full_account(request: pytest.FixtureRequest, fleet: Fleet) -> RunningServer:
    """Each of the accounts that may list, rename, delete and resume."""
    return fleet.lend(FULL_ACCOUNTS[request.param])


@pytest.fixture
def vsftpd_drop_box(fleet: Fleet) -> RunningServer:
    return fleet.lend(DROP_BOXES["vsftpd"])


@pytest.fixture
def vsftpd_full(fleet: Fleet) -> RunningServer:
    return fleet.lend(FULL_ACCOUNTS["vsftpd"])


@pytest.fixture
def vsftpd_tls(fleet: Fleet) -> RunningServer:
    return fleet.lend(OVER_TLS)


@pytest.fixture
def proftpd_drop_box(fleet: Fleet) -> RunningServer:
    return fleet.lend(DROP_BOXES["proftpd"])


@pytest.fixture
def proftpd_full(fleet: Fleet) -> RunningServer:
    return fleet.lend(FULL_ACCOUNTS["proftpd"])


@pytest.fixture
def proftpd_without_restarts(fleet: Fleet) -> RunningServer:
    return fleet.lend(WITHOUT_RESTARTS)


@pytest.fixture
def pureftpd_drop_box(fleet: Fleet) -> RunningServer:
    return fleet.lend(DROP_BOXES["pureftpd"])


@pytest.fixture
def pureftpd_full(fleet: Fleet) -> RunningServer:
    return fleet.lend(FULL_ACCOUNTS["pureftpd"])


@pytest.fixture
def sshd_drop_box(fleet: Fleet) -> RunningServer:
    return fleet.lend(DROP_BOXES["sshd"])


@pytest.fixture
def sshd_full(fleet: Fleet) -> RunningServer:
    return fleet.lend(FULL_ACCOUNTS["sshd"])
