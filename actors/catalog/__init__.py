"""The actor of the catalogue, and its pages of users."""
