-- Positions of which no copy has a row any more, as an operator accepted it: meterd mend. Whoever
-- reads the log takes them for no damage. In each partition of `partitions` the chain begins anew
-- with the first row behind.
CREATE TABLE losses (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    at INTEGER NOT NULL,          -- when it was accepted, microseconds since 1970-01-01T00:00:00Z
    partitions TEXT NOT NULL,     -- that may have lost rows: 64 bits as 16 hexadecimal digits
    checksum INTEGER NOT NULL     -- of all that, as it is written in text
);
