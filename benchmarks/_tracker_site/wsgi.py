"""For the server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._tracker_site.settings")
application = get_wsgi_application()
