"""`... manage COMMAND ...`: a management command in the shop of the folder that `TRACK_SHOP` names."""

import os
import sys


def main() -> None:
    """Run it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._track_shop.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage", *sys.argv[1:]])


if __name__ == "__main__":
    main()
