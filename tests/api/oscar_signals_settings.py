"""Oscar's sandbox with our middleware and what its templates ask for."""

from tests.adapters.catalogue.oscar_settings import *  # noqa: F403
from tests.adapters.catalogue.oscar_settings import MIDDLEWARE, TEMPLATES

ALLOWED_HOSTS = ["*"]
OSCAR_THUMBNAILER = "tests.api.oscar_signals_settings.NoThumbnails"
OSCAR_INITIAL_ORDER_STATUS = "Pending"
OSCAR_ORDER_STATUS_PIPELINE = {"Pending": ("Cancelled",), "Cancelled": ()}
MIDDLEWARE = [
    *MIDDLEWARE,
    "ml.middleware.MLTrackingMiddleware",
    "ml.middleware.MLProductTrackingMiddleware",
]
TEMPLATES[0]["OPTIONS"]["context_processors"] += [
    "oscar.apps.search.context_processors.search_form",
    "oscar.apps.checkout.context_processors.checkout",
    "oscar.apps.communication.notifications.context_processors.notifications",
    "oscar.core.context_processors.metadata",
]


class NoThumbnails:
    """The sandbox has no pictures to make small."""

    def generate_thumbnail(self, source, **options):
        return ""

    def delete_thumbnails(self, source):
        pass
