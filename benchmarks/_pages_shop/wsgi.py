"""For the server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._pages_shop.settings")
application = get_wsgi_application()
