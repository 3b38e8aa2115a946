"""A URL says where files go, or what is wrong with it; a request may say otherwise for itself."""

from __future__ import annotations

import pytest

from archq.errors import ConfigurationError, UsageError
from archq.options import Remote
from archq.transports.destination import Destination


def parsed(url: str) -> Destination:
    return Destination.parse(url, "[queue.archive] url")


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "user", "path"),
    [
        ("sftp://tdcin@archive.example.edu/incoming", "sftp", "archive.example.edu", 22, "tdcin", "/incoming"),
        ("sftp://archive:2222/~/incoming", "sftp", "archive", 2222, None, "incoming"),
        ("sftp://Archive", "sftp", "Archive", 22, None, ""),
        ("sftp://archive/~", "sftp", "archive", 22, None, ""),
        ("SFTP://archive/", "sftp", "archive", 22, None, "/"),
        ("ftp://archive/incoming", "ftp", "archive", 21, None, "/incoming"),
        ("ftps://tdcin@archive/in%20coming", "ftps", "archive", 21, "tdcin", "/in coming"),
        ("ftp://td%40cin@[::1]:2121/%23", "ftp", "::1", 2121, "td@cin", "/#"),
        ("ftp://[fe80::1%Eth0]/x", "ftp", "fe80::1%Eth0", 21, None, "/x"),
        ("file:/data/incoming", "file", "", 0, None, "/data/incoming"),
        ("file:///data/incoming", "file", "", 0, None, "/data/incoming"),
        ("file://localhost/data", "file", "", 0, None, "/data"),
    ],
)
def test_a_url_says_where(url: str, scheme: str, host: str, port: int, user: str | None, path: str) -> None:
    found = parsed(url)
    assert (found.scheme, found.host, found.port, found.user, found.path) == (scheme, host, port, user, path)
    assert found.password is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("archive.example.edu:/incoming", "or file:, not with 'archive.example.edu'"),
        ("/data/incoming", "begin it with sftp://, ftp://, ftps:// or file:"),
        ("http://archive/incoming", "begin it with sftp://, ftp://, ftps:// or file:, not with 'http'"),
        ("sftp:///incoming", "names no host; write sftp://user@host/directory"),
        ("ftp://tdcin:secret@archive/incoming", "a password does not belong into a URL: use password_file"),
        ("sftp://archive:99999/incoming", "not a URL: Port out of range"),
        ("sftp://archive:port/incoming", "not a URL: Port could not be cast"),
        ("sftp://[::1/incoming", "not a URL: Invalid IPv6 URL"),
        ("file:incoming", "not an absolute path: 'incoming'; write file:/directory"),
        ("file://archive/incoming", "a file: URL is a directory of this machine; write file:/archive/incoming"),
        ("ftp://archive/in%0D%0ADELE%20x", "a path with control characters"),
        ("sftp://archive/in%00", "a path with control characters"),
        ("sftp://archive/run#2", "write %23 for '#' and %3F for '?' in a path"),
        ("sftp://archive/what?", "write %23 for '#' and %3F for '?' in a path"),
        ("ftp://td%0Acin@archive/", "a user with control characters"),
    ],
)
def test_another_url_is_refused_with_the_place_where_it_stands(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed(url)
    assert str(caught.value).startswith("[queue.archive] url: ")
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("sftp://tdcin@archive:22/incoming", "sftp://tdcin@archive/incoming"),
        ("sftp://archive:2222", "sftp://archive:2222"),
        ("ftp://[::1]:21/in", "ftp://[::1]/in"),
        ("file:/data", "file:/data"),
        ("sftp://archive/~/in", "sftp://archive/~/in"),
    ],
)
def test_a_destination_is_shown_as_a_url(url: str, text: str) -> None:
    assert str(parsed(url)) == text


def test_a_password_is_never_shown() -> None:
    there = parsed("ftp://tdcin@archive/in").redirected(Remote(password="secret"))
    assert there.password == "secret"
    assert "secret" not in f"{there} {there!r}"


QUEUE = parsed("sftp://tdcin@archive:2222/incoming")


@pytest.mark.parametrize(
    ("remote", "text"),
    [
        (Remote(host="other"), "sftp://tdcin@other:2222/incoming"),
        (Remote(host="other:22"), "sftp://tdcin@other/incoming"),
        (Remote(host="[fe80::1]"), "sftp://tdcin@[fe80::1]:2222/incoming"),
        (Remote(host="[fe80::1]:22"), "sftp://tdcin@[fe80::1]/incoming"),
        (Remote(path="/elsewhere"), "sftp://tdcin@archive:2222/elsewhere"),
        (Remote(path="elsewhere"), "sftp://tdcin@archive:2222/~/elsewhere"),
        (Remote(user="guest", password="x"), "sftp://guest@archive:2222/incoming"),
        (Remote(), "sftp://tdcin@archive:2222/incoming"),
    ],
)
def test_a_request_can_go_elsewhere(remote: Remote, text: str) -> None:
    assert str(QUEUE.redirected(remote)) == text


def test_a_requests_path_means_the_same_as_in_a_url() -> None:
    assert QUEUE.redirected(Remote(path="/~/elsewhere")).path == "elsewhere"


@pytest.mark.parametrize(
    ("queue", "remote", "words"),
    [
        ("file:/data", Remote(path="elsewhere"), "-o rempath: not an absolute path: 'elsewhere'"),
        ("file:/data", Remote(host="other"), "-o remhost: the queue writes to a directory of this machine"),
        ("ftp://archive/in", Remote(path="a\r\nDELE b"), "-o rempath: a path with control characters"),
    ],
)
def test_a_request_cannot_go_where_its_queue_could_not(queue: str, remote: Remote, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(queue).redirected(remote)
    assert words in str(caught.value)
