"""What waits for an answer lets others go on, and everybody gets his own answer or error."""

from __future__ import annotations

import pytest

from archq.transports.pipeline import Answer, run, run_together


class Post:
    """Answers come one at a time, the last question's first."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Answer[str]]] = []
        self.most_at_a_time = 0

    def ask(self, question: str) -> Answer[str]:
        self.asked.append((question, Answer()))
        self.most_at_a_time = max(self.most_at_a_time, len(self.asked))
        return self.asked[-1][1]

    def bring(self) -> bool:
        if not self.asked:
            return False
        question, answer = self.asked.pop()
        if question == "bad":
            answer.fail(OSError("no answer to that"))
        else:
            answer.give(question.upper())
        return True


async def asking(post: Post, *questions: str) -> str:
    return "".join([await post.ask(question) for question in questions])


def test_several_are_asked_before_the_first_is_answered_and_each_gets_its_own_answers() -> None:
    post = Post()
    assert run_together([asking(post, *"abc"), asking(post), asking(post, *"xy")], post.bring) == ["ABC", "", "XY"]
    assert post.most_at_a_time == 2


def test_an_error_belongs_to_the_one_who_asked() -> None:
    post = Post()
    first, failed, last = run_together([asking(post, "a"), asking(post, "bad", "b"), asking(post, "c")], post.bring)
    assert (first, last) == ("A", "C")
    assert isinstance(failed, OSError)
    assert str(failed) == "no answer to that"
    with pytest.raises(OSError, match="no answer to that"):
        run(asking(post, "bad"), post.bring)


def test_who_brings_answers_last_is_asked_only_when_nobody_else_can_go_on() -> None:
    first, last = Post(), Post()
    calls: list[str] = []

    def noting(name: str, post: Post) -> bool:
        calls.append(name)
        return post.bring()

    async def both() -> None:
        await first.ask("a")
        await last.ask("b")

    run_together([both(), both()], lambda: noting("first", first), lambda: noting("last", last))
    assert calls == ["first", "first", "first", "last", "first", "last"]


def test_nobody_waits_for_an_answer_that_nobody_brings() -> None:
    post = Post()
    with pytest.raises(RuntimeError, match="waits for an answer that nobody will bring"):
        run(asking(post, "a"), lambda: False)


def test_what_was_begun_is_ended_before_what_comes_later_goes_on() -> None:
    post = Post()
    ended: list[str] = []

    async def noting(name: str, *questions: str) -> None:
        for question in questions:
            await post.ask(f"{name}{question}")
        ended.append(name)

    def bring_all() -> bool:
        return True in [post.bring() for _ in range(len(post.asked))]

    run_together([noting("a", "1", "2"), noting("b", "1"), noting("c", "1", "2")], bring_all)
    assert ended == ["b", "a", "c"]
    assert post.asked == []
