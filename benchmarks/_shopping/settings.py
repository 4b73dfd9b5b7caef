"""The demo shop's settings; BUNORAA_STATE names its folder, `SHOPPING_STRIP` plays a proxy that strips a header."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "example"))

from bunoraa.settings import *  # noqa: F403
from bunoraa.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks._shopping.apps.ShoppingConfig"]
MIDDLEWARE = [*MIDDLEWARE, "benchmarks._shopping.pages.cart_script"]
if os.environ.get("SHOPPING_STRIP"):
    MIDDLEWARE = ["benchmarks._shopping.pages.strip_server_timing", *MIDDLEWARE]
ROOT_URLCONF = "benchmarks._shopping.urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
