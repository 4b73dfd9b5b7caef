"""Fills the demo shop: an assortment, shoppers with tastes, and half a year of their visits."""
