-- Rows of rare kinds, rows that notify, and what is over, are found by the blocks of index.db, which
-- are checked before they are believed (persistence/sqlite/blocks.py). No read relies on an index of
-- this file any more.
DROP INDEX IF EXISTS log_kind;
DROP INDEX IF EXISTS log_notify;
DROP INDEX IF EXISTS log_user_notify;
DROP INDEX IF EXISTS log_ends;
