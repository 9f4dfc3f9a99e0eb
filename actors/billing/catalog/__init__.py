"""Providers, prices and plans: what the catalogue holds, and how it changes."""
