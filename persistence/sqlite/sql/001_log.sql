-- The log, its snapshots and how far notices are published.
--
-- One file now, 64 partitions later. Every row of `log` and `snapshots` carries the partition
-- of its user, so a file can be split by copying rows `WHERE partition BETWEEN a AND b` as
-- they are. That works because nothing ties partitions together: `seq` is given by the owner
-- and compared within one user only, no key is generated here, nothing references another
-- table, every unique key begins with the user (who lives in one partition) or with the
-- position, and snapshots are clustered by partition. `position` is per file.

CREATE TABLE log (
    seq INTEGER PRIMARY KEY,      -- position, given by the owner
    partition INTEGER NOT NULL,   -- 0 to 63, of the user
    user_id TEXT NOT NULL,
    event_id TEXT,                -- idempotency key
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,          -- microseconds since 1970-01-01T00:00:00Z
    notify INTEGER NOT NULL,      -- 1: has something to publish
    body TEXT NOT NULL,           -- JSON
    personal TEXT                 -- JSON, NULL where there is none or it was erased
);

-- Users and keys are indexed in a file of its own, off the commit path: persistence/index.py.
-- The rare rows are indexed here. Every index ends with seq by itself, since seq is the rowid.
CREATE INDEX log_kind ON log (user_id, kind) WHERE kind <> 'usage';
CREATE INDEX log_notify ON log (notify) WHERE notify = 1;

CREATE TRIGGER log_is_never_changed BEFORE UPDATE ON log
WHEN new.personal IS NOT NULL
    OR (new.seq, new.partition, new.user_id, new.event_id, new.kind, new.at, new.notify, new.body)
        IS NOT
        (old.seq, old.partition, old.user_id, old.event_id, old.kind, old.at, old.notify, old.body)
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: only personal may be erased');
END;

CREATE TRIGGER log_is_never_removed BEFORE DELETE ON log
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;

CREATE TABLE snapshots (
    partition INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    seq INTEGER NOT NULL,         -- reflects the log up to here
    schema INTEGER NOT NULL,      -- version of the state that wrote body
    body BLOB NOT NULL,
    PRIMARY KEY (partition, user_id)
) WITHOUT ROWID;

CREATE TABLE position (
    name TEXT PRIMARY KEY,        -- 'published'
    seq INTEGER NOT NULL
) WITHOUT ROWID;

-- The usage log as plain columns, for people and their tools. Absent fields show the defaults
-- of the event. Money is there twice: `*_nano` are exact integers of 1e-9 USD (add these up),
-- the others are USD as floating point, to look at.
CREATE VIEW usage AS
SELECT
    seq,
    user_id,
    event_id,
    strftime('%Y-%m-%dT%H:%M:%S', timestamp / 1000000, 'unixepoch')
        || printf('.%06dZ', timestamp % 1000000) AS timestamp,
    strftime('%Y-%m-%dT%H:%M:%S', at / 1000000, 'unixepoch')
        || printf('.%06dZ', at % 1000000) AS logged_at,
    json_extract(body, '$.provider') AS provider,
    json_extract(body, '$.actual') AS actual,
    json_extract(body, '$.model') AS model,
    json_extract(body, '$.billing_period') AS billing_period,
    json_extract(body, '$.status') AS status,
    json_extract(body, '$.priced') AS priced,
    coalesce(json_extract(body, '$.price_version'), 0) AS price_version,
    cost_nano / 1e9 AS cost,
    cost_input_nano / 1e9 AS cost_input,
    cost_output_nano / 1e9 AS cost_output,
    cost_catalog_nano / 1e9 AS cost_catalog,
    cost_nano,
    cost_input_nano,
    cost_output_nano,
    cost_catalog_nano,
    tokens_input,
    tokens_output,
    tokens_input + tokens_output AS tokens_used,
    json_extract(body, '$.tokens_cache_read') AS tokens_cache_read,
    json_extract(body, '$.tokens_cache_write') AS tokens_cache_write,
    json_extract(body, '$.tokens_reasoning') AS tokens_reasoning,
    json_extract(body, '$.search_count') AS search_count,
    json_extract(body, '$.image_count') AS image_count,
    json_extract(body, '$.page_count') AS page_count,
    coalesce(json_extract(body, '$.endpoint'), '') AS endpoint,
    coalesce(json_extract(body, '$.method'), 'POST') AS method,
    coalesce(json_extract(body, '$.response_time'), 0.0) AS response_time,
    coalesce(json_extract(body, '$.status_code'), 200) AS status_code,
    json_extract(body, '$.request_size') AS request_size,
    json_extract(body, '$.response_size') AS response_size,
    coalesce(json_extract(body, '$.retry_count'), 0) AS retry_count,
    coalesce(json_extract(body, '$.late'), 0) AS late,
    json_extract(body, '$.adjusted') AS adjusted,
    json_extract(body, '$.hold_id') AS hold_id,
    json_extract(body, '$.hold_status') AS hold_status,
    coalesce(json_extract(body, '$.alerts'), '[]') AS alerts,
    json_extract(personal, '$.user_agent') AS user_agent,
    json_extract(personal, '$.ip_address') AS ip_address,
    json_extract(personal, '$.error_message') AS error_message,
    json_extract(personal, '$.metadata') AS metadata
FROM (
    SELECT
        seq, user_id, event_id, at, body, personal,
        coalesce(json_extract(body, '$.timestamp'), at) AS timestamp,
        coalesce(json_extract(body, '$.cost_nano'), 0) AS cost_nano,
        coalesce(json_extract(body, '$.cost_input_nano'), 0) AS cost_input_nano,
        coalesce(json_extract(body, '$.cost_output_nano'), 0) AS cost_output_nano,
        json_extract(body, '$.cost_catalog_nano') AS cost_catalog_nano,
        coalesce(json_extract(body, '$.tokens_input'), 0) AS tokens_input,
        coalesce(json_extract(body, '$.tokens_output'), 0) AS tokens_output
    FROM log
    WHERE kind = 'usage'
);
