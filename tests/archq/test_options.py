"""What a user says with -o, as the original took it: checked here, because nobody looks there."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as some

from archq.errors import ExitStatus, UsageError
from archq.fields import KEY
from archq.options import Options, Remote, check_options, parse_words


def options(*texts: str) -> Options:
    return check_options(parse_words(texts))


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], {}),
        ([""], {}),
        (["inst=minicam,maxftp=60"], {"instrument": "minicam", "maxftp": "60"}),
        (["inst=minicam", "maxftp=60"], {"instrument": "minicam", "maxftp": "60"}),
        (["inst=minicam maxftp=60"], {"instrument": "minicam", "maxftp": "60"}),
        ([" ,inst=minicam , ,maxftp=60,"], {"instrument": "minicam", "maxftp": "60"}),
        (["INST=Minicam"], {"instrument": "Minicam"}),
        (["inst=a", "instrument=b"], {"instrument": "b"}),
        (["instrument=a,inst=b"], {"instrument": "b"}),
        (["flat"], {"flat": "true"}),
        (["title="], {"title": ""}),
        (["where=a=b"], {"where": "a=b"}),
        (['object="M 31, Andromeda"'], {"object": "M 31, Andromeda"}),
        (["object='M 31'"], {"object": "M 31"}),
        ([r"object=M\ 31\,x"], {"object": "M 31,x"}),
        (["object=#5"], {"object": "#5"}),
        (["observer=Gödel"], {"observer": "Gödel"}),
    ],
)
def test_words_are_split_as_lp_users_write_them(texts: list[str], words: dict[str, str]) -> None:
    assert parse_words(texts) == words


@given(some.from_regex(KEY.pattern, fullmatch=True), some.binary(max_size=40).map(os.fsdecode))
def test_quotes_protect_any_value(key: str, value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert list(parse_words([f'{key}="{quoted}"']).values()) == [value]


@pytest.mark.parametrize("text", ["=x", "a b=c,-=x", "größe=1", "'a b'=1", "-x", "a/b=1"])
def test_what_is_no_keyword_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"^-o .*: not a keyword: write KEY=VALUE with letters and digits in KEY$"):
        parse_words([text])


@pytest.mark.parametrize("text", ["rempw='secret", 'rempw="secret', "rempw=secret\\"])
def test_a_quote_without_its_end_is_a_usage_error_that_tells_no_password(text: str) -> None:
    with pytest.raises(UsageError, match=r"^-o: no (closing quotation|escaped character): ") as caught:
        parse_words([f"inst=minicam,{text}"])
    assert "secret" not in str(caught.value)


def test_what_stays_here_does_not_travel() -> None:
    checked = options(
        "inst=minicam,remhost=ftp.example.edu:2121,rempath=/in,remuser=me,rempw=secret,dir=a/b,maxftp=1m,x=y"
    )
    assert checked.instrument == "minicam"
    assert checked.maxftp == 60
    assert checked.remote == Remote(host="ftp.example.edu:2121", path="/in", user="me", password="secret")
    assert checked.travelling == {"dir": "a/b", "maxftp": "1m", "x": "y"}
    assert "secret" not in repr(checked)


def test_without_words_nothing_is_asked_for() -> None:
    assert options() == Options()
    assert not options().remote


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inst=all", "not an instrument's name: 'all'"),
        ("inst=", "not an instrument's name: ''"),
        ("maxftp=soon", "-o maxftp=soon: not a number of seconds; 0 waits for ever"),
        ("maxftp=-1", "-o maxftp=-1: not a number of seconds"),
        ("maxftp", "-o maxftp=true: not a number of seconds"),
        ("remport=21", "-o remport: unknown; keywords that begin with rem are remhost, rempath, remuser, rempw"),
        ("remark=x", "-o remark: unknown; keywords that begin with rem are"),
        ("rempw=", "-o rempw=: has no value"),
        ("remhost=a/b", "-o remhost=a/b: not a host's name or address"),
        ("remhost=me@there", "-o remhost=me@there: not a host's name or address"),
        ("remhost=there:99999", "-o remhost=there:99999: not a host's name or address, with a port or without"),
        ("rempath='a\nb'", "-o rempath: has control characters"),
        ("rempw='a\rb'", "-o rempw: has control characters"),
        ("dir=", "-o dir=: must be relative"),
        ("dir=/etc", "-o dir=/etc: must be relative"),
        ("dir=..", "-o dir=..: must be relative"),
        ("dir=a/../b", "-o dir=a/../b: must be relative"),
        ("dir=.hidden", "-o dir=.hidden: must be relative"),
        ("dir=a//b", "-o dir=a//b: must be relative"),
    ],
)
def test_a_value_that_cannot_be_is_a_usage_error(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        options(text)
    assert str(caught.value).startswith(message)
    assert caught.value.status is ExitStatus.USAGE


@pytest.mark.parametrize(
    ("words", "message", "shown"),
    [
        ({"remhost": "h.edu:2121"}, "ftp://h.edu:2121/in: no way to h.edu", "ftp://remhost/in: no way to remhost"),
        ({"remhost": "[::1]:22"}, "sftp://[::1]:22/in: no way to ::1", "sftp://remhost/in: no way to remhost"),
        ({"rempath": "/deep/in"}, "ftp://h/deep/in: no login", "ftp://h/rempath: no login"),
        ({"rempath": "/"}, "ftp://h/: no login", "ftp://h/: no login"),
        ({"remuser": "in"}, "ftp://in@h: no login", "ftp://remuser@h: no login"),
        ({"remuser": "bo", "rempw": "bob!"}, "bo@h: 530 bo, bob!1 is wrong", "remuser@h: 530 remuser, rempw1 is wrong"),
    ],
)
def test_a_message_for_everybody_shows_keywords_where_a_request_has_its_own_values(
    words: dict[str, str], message: str, shown: str
) -> None:
    assert check_options(words).remote.veiled(message) == shown
