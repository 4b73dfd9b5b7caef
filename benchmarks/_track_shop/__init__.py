"""A small shop that is loaded with track requests."""
