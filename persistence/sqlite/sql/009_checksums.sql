-- From here on the bytes behind a row's link are its checksum (persistence/chain/checksum.py), those
-- behind the newest links in `heads` are theirs, and positions and archives have one too, compared
-- wherever they are read. What was there before has none; the chain covers the rows of it.
ALTER TABLE position ADD COLUMN checksum INTEGER;
ALTER TABLE archives ADD COLUMN checksum INTEGER;
INSERT INTO position (name, seq) SELECT 'unchecked', coalesce(max(seq), 0) FROM log;
