"""The one Django app behind the names `ml` and `ml_models`."""

from importlib import import_module

from django.apps import AppConfig


class MLConfig(AppConfig):
    """App config with name `ml_models` and label `ml` (tables `ml_*`, permissions `ml.*`)."""

    name = "ml_models"
    label = "ml"
    verbose_name = "ML"
    default = True
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        """Load the tables from `ml_models.orm`.

        Django takes `<app>.models` for the tables; here that package holds the networks, as the
        integration guide shows, so the tables are named explicitly.
        """
        super().import_models()
        self.models_module = import_module("ml_models.orm")

    def ready(self) -> None:
        """Register the system checks, the settings reset and what listens; keep persons out of our log."""
        from ml_models import checks, settings, signals  # noqa: F401  (registering is the import's effect)
        from ml_models.data_collection.privacy import scrub_logs

        scrub_logs()
        if self.apps is not None and self.apps.is_installed("oscar"):
            from ml_models.oscar_signals import connect

            connect()
