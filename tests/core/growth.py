"""Whether the time something takes grows no faster than what it is given."""

import time
from collections.abc import Callable


def grows_no_faster_than_the_text(
    work: Callable[[str], object], text: Callable[[int], str], size: int = 131_072
) -> None:
    """`work` on a text of twice the size takes about twice the CPU time; four times as much would be a square.

    On small texts the two are compared in steps, so that one that is far off ends early and not after minutes. Busy
    machines measure badly: the best of several counts, and a limit between two and four.
    """
    for n in (size // 16, size // 4, size):
        for _ in range(5):
            short, long = (min(_seconds(work, text(m)) for _ in range(2)) for m in (n, 2 * n))
            if long <= 3 * short + 0.002:
                break
        else:
            raise AssertionError(f"{n:,} characters took {short:.3f} s, twice as many {long:.3f} s")


def _seconds(work: Callable[[str], object], text: str) -> float:
    started = time.process_time()
    work(text)
    return time.process_time() - started
