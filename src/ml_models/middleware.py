"""Tracking middleware."""
