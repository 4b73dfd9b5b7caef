"""A small shop whose visitors put what is personal wherever they can."""
