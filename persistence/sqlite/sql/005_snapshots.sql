-- A snapshot has about a thousand bytes. In a table WITHOUT ROWID inner pages hold whole rows
-- too, a handful each, and what does not fit goes to a page of its own: with 10,000 snapshots
-- one was five pages deep and took 4.7 KB. So the tree that is searched has the users alone.
CREATE TABLE snapshots_with_id (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    seq INTEGER NOT NULL,         -- reflects the log up to here
    schema INTEGER NOT NULL,      -- version of the state that wrote body
    body BLOB NOT NULL,
    UNIQUE (partition, user_id)
);
INSERT INTO snapshots_with_id (partition, user_id, seq, schema, body)
    SELECT partition, user_id, seq, schema, body FROM snapshots;
DROP TABLE snapshots;
ALTER TABLE snapshots_with_id RENAME TO snapshots;
