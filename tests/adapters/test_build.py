import os
import signal
import threading

from ml_models.adapters import build
from tests.waiting import GENEROUS


def test_a_fork_while_another_thread_builds_does_not_hang_the_child():
    inside, leave = threading.Event(), threading.Event()

    def slow():
        inside.set()
        leave.wait(GENEROUS)
        return object()

    builder = threading.Thread(target=build.shared, args=("slow", slow))
    builder.start()
    inside.wait(GENEROUS)
    try:
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # ends the child where it waits for ever
            build.shared("other", object)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        leave.set()
        builder.join()
        build.reset()
