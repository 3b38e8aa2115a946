"""Deliberately broken programs: each forgets one thing that durability rests on, and has to be caught.

Each function is called in a forked program before it begins, and patches it.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from archq import checksum, control, durable, submission
from archq.shipping import delivery
from archq.spool import Draft, Spool
from archq.spool.filestate import Phase
from archq.transports import ssh
from sweeper import filing, journal, settling
from tests.faults import scenarios

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class Variant:
    """One broken program, the technique that is known to catch it, and what of that is enough: scenarios, servers."""

    name: str
    meddle: Callable[[], object]
    technique: str
    chosen: Sequence[Scenario] = ()
    only: str = ""


SUBMIT = [one for one in scenarios.ALL if one.name == "submit"]
SHIP = [one for one in scenarios.ALL if one.name == "ship"]
SWEEP = [one for one in scenarios.ALL if one.name == "sweep and reject"]


def never(*_arguments: object, **_keywords: object) -> None:
    """Do nothing of it."""


def no_fsync_of_files() -> None:
    honest = durable.sync
    durable.sync = lambda descriptor: None if stat.S_ISREG(os.fstat(descriptor).st_mode) else honest(descriptor)


def no_fsync_of_directories() -> None:
    honest = durable.sync
    durable.sync = lambda descriptor: None if stat.S_ISDIR(os.fstat(descriptor).st_mode) else honest(descriptor)


def nothing_is_synced() -> None:
    durable.sync = durable.sync_filesystem = never


def id_before_the_commit() -> None:
    honest = Draft.commit

    def commit(draft, request) -> None:
        submission.announce(submission.Request(id=request, files=2, bytes=0))
        honest(draft, request)

    Draft.commit = commit


def same_id_for_all_files() -> None:
    given = submission.new_id()
    submission.new_id = lambda: given


def numbers_without_a_lock() -> None:
    def next_number(spool) -> int:
        path = spool.place("sequence")
        number = int(Path(path).read_text()) + 1 if os.path.exists(path) else 1
        time.sleep(0.01)  # which a busy machine would do for us some day
        durable.write_over(f"{path}.{os.getpid()}", b"%020d\n" % number)
        os.rename(f"{path}.{os.getpid()}", path)
        return number

    Spool.next_number = next_number


def control_before_data() -> None:
    async def deliver(sending):
        await sending.begin(Phase.BEGUN)
        await sending.put_control(str(sending.wire.control))
        await sending.upload(str(sending.wire.data))
        return await sending.done()

    delivery._Renamed.deliver = delivery._Final.deliver = deliver


def sent_before_it_is() -> None:
    honest = delivery._Delivery.begin
    delivery._Delivery.begin = lambda sending, _phase: honest(sending, Phase.SENT)


def no_checksum() -> None:
    filing.refused_content = never


def time_not_kept() -> None:
    filing.Filer._finish = lambda filer, descriptor, _mtime: filer.appearance.give_file(descriptor)


def overwrite_on_conflict() -> None:
    settling.Decisions._is_same = never

    def rename(source, target, *, source_directory=None, target_directory=None) -> None:
        os.rename(source, target, src_dir_fd=source_directory, dst_dir_fd=target_directory)

    durable.rename_new = rename


def no_record_of_intents() -> None:
    journal.write_record = never


def gone_before_published() -> None:
    honest = settling._carry_out

    def carry_out(claim, ledger, decisions, record, **keywords):
        for intent in record.intents:
            durable.remove(str(intent.wire.control), directory=claim.descriptor)
        return honest(claim, ledger, decisions, record, **keywords)

    settling._carry_out = carry_out


def told_before_published() -> None:
    honest = settling._carry_out

    def carry_out(claim, ledger, decisions, record, **keywords):
        ledger.append((intent.outcome for intent in record.intents), record.log)
        return honest(claim, SimpleNamespace(append=never), decisions, record, **keywords)

    settling._carry_out = carry_out


def claim_without_a_look() -> None:
    honest = durable.take

    def take(name, **keywords) -> bool:
        honest(name, **keywords)
        return True  # whoever was slower believes that he was first

    durable.take = take


def lost_replies_are_believed() -> None:
    durable._is = lambda *_arguments: False
    durable._exists = lambda *_arguments: False


def links_are_followed() -> None:
    durable._READ_UNFOLLOWED = os.O_RDONLY | os.O_CLOEXEC
    durable._DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def servers_are_trusted() -> None:
    async def verify(*_arguments: object, **_keywords: object) -> None:
        """Believe whatever was said."""

    delivery._Delivery.verify = verify


def any_host_key() -> None:
    ssh.SshSession._judge = never


def another_error() -> None:
    control.parse_checksum = lambda text: checksum.Checksum(*text.split(":"))


def unknown_memory() -> None:
    settling.Decisions.repeated = never


def errors_are_believed() -> None:
    durable._is = lambda *_: False


def one_write_is_enough() -> None:
    def write_once(target: int, data: bytes) -> None:
        os.write(target, data)

    for module in (durable, filing):
        module.write_all = write_once


ALL = [
    Variant("files are not synced", no_fsync_of_files, "lint", SUBMIT),
    Variant("directories are not synced", no_fsync_of_directories, "lint", SWEEP),
    Variant("nothing is synced", nothing_is_synced, "powercut", SUBMIT),
    Variant("the id is printed before the commit", id_before_the_commit, "kills", SUBMIT),
    Variant("all files get the same id", same_id_for_all_files, "kills", SUBMIT),
    Variant("request numbers without a lock", numbers_without_a_lock, "load"),
    Variant("control file before data", control_before_data, "kills", SHIP),
    Variant("sent before it is", sent_before_it_is, "kills", SHIP),
    Variant("no checksum", no_checksum, "kills", SWEEP),
    Variant("the source's time is not kept", time_not_kept, "errors", SWEEP),
    Variant("overwrite on conflict", overwrite_on_conflict, "kills", SWEEP),
    Variant("no record before publishing", no_record_of_intents, "kills", SWEEP),
    Variant("gone from incoming before published", gone_before_published, "kills", SWEEP),
    Variant("told before published", told_before_published, "kills", SWEEP),
    Variant("claimed without a look", claim_without_a_look, "load"),
    Variant("a lost reply is believed", lost_replies_are_believed, "lostreplies", SWEEP),
    Variant("a short write is taken for a whole one", one_write_is_enough, "shortwrites", SWEEP),
    Variant("an error of a rename is believed without a look", errors_are_believed, "lostreplies", SWEEP),
    Variant("links are followed", links_are_followed, "zoo"),
    Variant("what was filed is forgotten", unknown_memory, "statemachine"),
    Variant("an error that nobody catches", another_error, "fuzz", only="control files"),
    Variant("a server's word is trusted", servers_are_trusted, "network", only="lying ftp, full: truncates"),
    Variant("any host key will do", any_host_key, "network", only="lying sftp, full: has another host key"),
]
