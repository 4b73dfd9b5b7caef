"""`python -m benchmarks._shopping.work`: the worker, until its standard input ends; then once more, to the end."""

import os
import select
import sys

EVERY = 3.0
"""Seconds between two runs."""


def main() -> None:
    """Process while the shop is open, and what is left when it has closed."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._shopping.settings")
    import django

    django.setup()
    from ml_models.tasks import process_training_data_task

    while not select.select([sys.stdin], [], [], EVERY)[0]:
        process_training_data_task()
    process_training_data_task()


if __name__ == "__main__":
    main()
