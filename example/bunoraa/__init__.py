"""The demo shop's project."""

import os

# `celery -A bunoraa worker` needs to know the settings before it loads bunoraa/celery.py.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bunoraa.settings")
