"""Usage and invoices as files: CSV and JSON Lines."""
