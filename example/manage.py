#!/usr/bin/env python
"""Django's command line of the demo shop; BUNORAA_STATE names the folder of the shop's data."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bunoraa.settings")
    execute_from_command_line(sys.argv)
