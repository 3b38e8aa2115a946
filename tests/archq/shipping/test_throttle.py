"""The rate limit holds over several processes, and outlives the one that holds its lock."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

from archq.shipping.throttle import Throttle

_PROCESSES = multiprocessing.get_context("fork")


def send(throttle: Throttle, blocks: int, size: int) -> None:
    for _ in range(blocks):
        throttle.wait(size)


def test_two_processes_together_keep_to_one_rate() -> None:
    throttle = Throttle(1_000_000)
    senders = [_PROCESSES.Process(target=send, args=(throttle, 5, 50_000)) for _ in range(2)]
    began = time.monotonic()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    # Half a megabyte at one megabyte a second: never faster, however slow the machine is.
    assert time.monotonic() - began >= 0.5


def test_a_killed_sender_leaves_the_limit_usable() -> None:
    throttle = Throttle(1_000_000)
    sender = _PROCESSES.Process(target=send, args=(throttle, 1_000_000, 1))
    sender.start()
    time.sleep(0.2)
    os.kill(sender.pid or 0, signal.SIGKILL)
    sender.join()
    throttle.wait(1)


def test_blocks_are_small_enough_for_progress_to_show() -> None:
    assert Throttle(1000).block(1 << 18) == 250
    assert Throttle(1).block(1 << 18) == 1
    assert Throttle(None).block(1 << 18) == 1 << 18
