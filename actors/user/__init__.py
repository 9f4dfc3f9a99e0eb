"""The actor of one user: the ledger, and how each verb takes and reads it."""
