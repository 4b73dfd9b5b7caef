"""A shop's pages through the usual middleware, for measuring what tracking adds to them."""
