"""What the commands of this app have in common."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.core.management.base import BaseCommand

__all__ = ["MLCommand"]


class MLCommand(BaseCommand):
    """A command that repeats warnings and errors of the system checks, and leaves remarks to `manage.py check`."""

    def check(self, **kwargs: Any) -> None:  # type: ignore[override]
        """Run the system checks; errors stop the command as they always do."""
        given = {name: kwargs[name] for name in ("app_configs", "tags", "databases") if name in kwargs}
        found = [message for message in checks.run_checks(**given) if not message.is_silenced()]
        if any(message.is_serious() for message in found):
            super().check(**kwargs)
        for message in found:
            if message.level >= checks.WARNING:
                self.stderr.write(str(message), self.style.WARNING)
