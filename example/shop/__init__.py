"""A small server-rendered shop."""
