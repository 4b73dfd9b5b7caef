"""Proofs: everything measured, each a command that fails when its target is missed."""
