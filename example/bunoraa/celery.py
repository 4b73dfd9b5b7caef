# celery.py
from celery import Celery

app = Celery("bunoraa")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["ml_models"])
