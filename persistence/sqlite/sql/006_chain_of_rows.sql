-- Every row has a link from now on, and every partition a chain of its own: persistence/chain.py.
-- Rows that were there before keep theirs, one for each block, and what comes builds on the last
-- of them: where there are rows, they are the first row of `heads`.
CREATE TABLE heads (
    seq INTEGER PRIMARY KEY,      -- as of this position
    links BLOB NOT NULL           -- the newest link of each partition, 16 bytes each
);
INSERT INTO heads
    SELECT coalesce(max(seq), 0), coalesce((SELECT chain FROM log ORDER BY seq DESC LIMIT 1), x'')
    FROM log;

-- What a link covers of personal fields is a digest that is made with these random bytes. Where
-- the fields were erased, `personal` is {} and this is that digest. NULL: the row never had any,
-- or was written before.
ALTER TABLE log ADD COLUMN proof BLOB;

DROP TRIGGER log_is_never_changed;
CREATE TRIGGER log_is_never_changed BEFORE UPDATE ON log
WHEN old.personal IS NULL
    OR old.personal = '{}'
    OR new.personal IS NOT '{}'
    OR (new.proof IS NULL) <> (old.proof IS NULL)
    OR (new.seq, new.partition, new.user_id, new.event_id, new.kind, new.at, new.notify, new.body,
        new.chain)
        IS NOT
        (old.seq, old.partition, old.user_id, old.event_id, old.kind, old.at, old.notify, old.body,
        old.chain)
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: only personal may be erased');
END;
