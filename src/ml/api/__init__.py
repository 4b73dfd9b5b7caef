"""Facade of the API's routes."""
