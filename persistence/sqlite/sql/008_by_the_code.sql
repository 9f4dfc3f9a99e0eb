-- From here on the view and the condition of the index log_kind are made by the code, from what
-- the owner says of the rows (persistence/sqlite/derived.py), and not by a migration: they are no
-- data. An older meterd would ask for rows by a condition that the index no longer has.
DROP VIEW IF EXISTS usage;
