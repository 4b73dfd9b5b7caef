"""Messages of `manage.py check`, each with a public id, a sentence and the fix."""
