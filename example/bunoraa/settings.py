"""Settings of the demo shop. Everything that a deployment changes comes from the environment.

The ML part is what the integration guide shows; the rest is an ordinary Django project.
"""

import os
from pathlib import Path

from ml_models.tasks import get_celery_beat_schedule


def env_bool(name: str, default: bool) -> bool:
    """A yes or no from the environment: "false" is False."""
    value = os.environ.get(name, "").strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    if value:
        raise ValueError(f"{name} is {value!r} in the environment. Set it to true or false.")
    return default


BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = Path(os.environ.get("BUNORAA_STATE", BASE_DIR / ".state" / "generated")).resolve()
"""Database, lake, models and logs of one shop; `example/demo.py` keeps one folder per source of data."""

DEBUG = env_bool("DEBUG", False)
SECRET_KEY = os.environ.get("SECRET_KEY", "the-demo-shop-is-not-a-secret")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "*").split(",")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "ml",
    "shop",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "ml.middleware.MLTrackingMiddleware",
    "ml.middleware.MLProductTrackingMiddleware",
]

ROOT_URLCONF = "bunoraa.urls"
WSGI_APPLICATION = "bunoraa.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "shop.context.shop",
            ]
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": STATE_DIR / "shop.sqlite3",
        "OPTIONS": {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32000;",
        },
    }
}

AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]
LOGIN_URL = "shop:login"
LOGIN_REDIRECT_URL = "shop:account"
LOGOUT_REDIRECT_URL = "shop:home"
SESSION_COOKIE_SAMESITE = "Lax"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "Europe/London"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "/static/"
STATIC_ROOT = STATE_DIR / "static_root"
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600

# -- ML, as the integration guide shows it ------------------------------------------------------------

PRODUCTION = env_bool("PRODUCTION", False)
ML_ENABLED = env_bool("ML_ENABLED", True)
REDIS_URL = os.environ.get("REDIS_URL") or None

ML_AUTO_TRAINING = env_bool("ML_AUTO_TRAINING", True)
ML_AUTO_RETRAIN_ON_DRIFT = env_bool("ML_AUTO_RETRAIN_ON_DRIFT", True)
ML_AUTO_TRAINING_CONFIG = {
    "enabled": True,
    "min_interactions": 1000,
    "min_users": 100,
    "min_products": 50,
    "new_interactions_threshold": 5000,
    "max_days_between_training": 7,
    "training_hour": 2,  # 2 AM
}

ML_DATA_COLLECTION = {
    "enabled": True,
    "batch_size": 100,
    "flush_interval": 300,  # 5 minutes
    "retention_days": 180,
    "anonymize_ip": True,
    "collect_location": False,
    "collect_device_info": True,
}

ML_TRACKING = {
    "track_page_views": True,
    "track_product_views": True,
    "exclude_paths": ["/admin/", "/api/ml/", "/static/", "/media/", "/pictures/"],
    "exclude_bots": True,
}

ML_STORAGE = {"models": STATE_DIR / "ml_models" / "saved_models", "data": STATE_DIR / "ml_data"}

ML_CATALOG = {
    "product": {
        "model": "shop.Product",
        "filter": {"is_active": True},
        "select_related": ["category__parent"],
        "prefetch_related": ["variants"],
        "fields": {
            "id": "id",
            "name": "name",
            "description": "description",
            "category": "category.name",
            "categories": ["category.path_names"],
            "tags": "tags[]",
            "brand": "brand",
            "price": "price",
            "currency": "currency",
            "in_stock": "in_stock",
            "image": "picture_url",
            "url": "get_absolute_url",
            "created": "created_at",
            "updated": "updated_at",
        },
        "visible": "shop.ml.visible",
        "sold_out": "show",  # `visible` leaves sold-out products out already, in one query
        "variants": {"path": "variants[]", "id": "sku"},
    },
    "order_line": {
        "model": "shop.OrderLine",
        "select_related": ["order"],
        "fields": {
            "order": "order.number",
            "product": "product_id",
            "variant": "variant.sku",
            "quantity": "quantity",
            "unit_price": "unit_price",
            "currency": "order.currency",
            "user": "order.user_id",
            "guest": "order.email",
            "when": "order.created_at",
            "updated": "order.updated_at",
            "status": "order.status",
        },
    },
}

CELERY_BROKER_URL = REDIS_URL or "memory://"
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULE = {
    # Your existing tasks...
}
CELERY_BEAT_SCHEDULE.update(get_celery_beat_schedule())

for folder in (STATE_DIR / "logs", STATIC_ROOT):
    folder.mkdir(parents=True, exist_ok=True)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {
        "ml_file": {
            "class": "logging.FileHandler",
            "filename": STATE_DIR / "logs" / "ml.log",
            "formatter": "line",
            "encoding": "utf-8",
            "delay": True,
        }
    },
    "loggers": {
        "bunoraa.ml": {
            "handlers": ["ml_file"],
            "level": os.environ.get("ML_LOG_LEVEL", "INFO").upper(),
            "propagate": False,
        }
    },
}
