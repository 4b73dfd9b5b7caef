import os
import threading

import pytest

from ml_models.core import clock
from ml_models.serving.refresh import Refreshed
from tests.waiting import GENEROUS


def counting():
    calls = []

    def load(previous):
        calls.append(previous)
        return len(calls)

    return calls, load


def test_loads_at_first_use_and_again_when_due(time):
    calls, load = counting()
    value = Refreshed(load, lambda: 5.0)
    assert calls == []
    assert [value.get(), value.get()] == [1, 1]
    time.advance(seconds=4.9)
    assert value.get() == 1
    time.advance(seconds=0.2)
    assert value.get() == 2
    assert calls == [None, 1]


def test_another_clock_makes_it_due(time):
    _, load = counting()
    value = Refreshed(load, lambda: 5.0)
    value.get()
    with clock.use(clock.ManualClock(time.now())):
        assert value.get() == 2


def test_others_keep_the_old_value_while_one_thread_loads(time):
    started, finish = threading.Event(), threading.Event()

    def load(previous):
        if previous is None:
            return "old"
        started.set()
        assert finish.wait(GENEROUS)
        return "new"

    value = Refreshed(load, lambda: 5.0)
    assert value.get() == "old"
    time.advance(seconds=6)
    got = []
    loader = threading.Thread(target=lambda: got.append(value.get()))
    loader.start()
    assert started.wait(GENEROUS)
    assert value.get() == "old"
    finish.set()
    loader.join(GENEROUS)
    assert got == ["new"]
    assert value.get() == "new"


def test_first_use_by_many_threads_loads_once(time):
    calls, load = counting()
    value = Refreshed(load, lambda: 5.0)
    gate = threading.Barrier(8)
    got = []

    def ask():
        gate.wait(GENEROUS)
        got.append(value.get())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GENEROUS)
    assert got == [1] * 8
    assert len(calls) == 1


def test_an_error_reaches_the_caller_and_the_next_tries_again(time):
    answers = iter([OSError("away"), "here"])

    def load(previous):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    value = Refreshed(load, lambda: 5.0)
    with pytest.raises(OSError, match="away"):
        value.get()
    assert value.get() == "here"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_not_stopped_by_a_lock_held_at_the_fork(time):
    _, load = counting()
    value = Refreshed(load, lambda: 5.0)
    value.get()
    value._lock.acquire()  # a thread of the parent is loading at the moment of the fork
    time.advance(seconds=6)
    child = os.fork()
    if child == 0:
        os._exit(value.get())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert value.get() == 1
