-- Holds are nearly as common as calls, so their rows are found as those of calls are: by the
-- positions of their user (persistence/index.py), not by an index on the commit path.
DROP INDEX log_kind;
CREATE INDEX log_kind ON log (user_id, kind)
    WHERE kind NOT IN ('usage', 'hold', 'hold_extended', 'hold_released');

-- The rows of one user that have something to publish: alerts, mostly.
CREATE INDEX log_user_notify ON log (user_id) WHERE notify = 1;

-- What was written together ends with a digest of itself and of all before it, so that a row
-- that is changed, removed or put elsewhere is found: persistence/chain.py. Rows that were there
-- before have none.
ALTER TABLE log ADD COLUMN chain BLOB;
INSERT INTO position SELECT 'unchained', coalesce(max(seq), 0) FROM log;

DROP TRIGGER log_is_never_changed;
CREATE TRIGGER log_is_never_changed BEFORE UPDATE ON log
WHEN new.personal IS NOT NULL
    OR (new.seq, new.partition, new.user_id, new.event_id, new.kind, new.at, new.notify, new.body,
        new.chain)
        IS NOT
        (old.seq, old.partition, old.user_id, old.event_id, old.kind, old.at, old.notify, old.body,
        old.chain)
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: only personal may be erased');
END;

-- As before, with what a call may say of its hold and of the event that brought it.
DROP VIEW usage;
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
    coalesce(json_extract(body, '$.late_settle'), 0) AS late_settle,
    json_extract(body, '$.source') AS source,
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
