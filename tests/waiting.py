"""How long a test waits for what must happen."""

GENEROUS = 300.0
"""Seconds that nothing that works ever takes, however busy the machine is: a limit for what hangs, not a measure."""
