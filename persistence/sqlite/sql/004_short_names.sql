-- Calls are stored under short names from now on (messages/names.py), without what is as in most
-- of them. Rows that were there before keep the full names: the view reads both.
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
    coalesce(json_extract(body, '$.p'), json_extract(body, '$.provider')) AS provider,
    coalesce(json_extract(body, '$.a'), json_extract(body, '$.actual')) AS actual,
    coalesce(json_extract(body, '$.m'), json_extract(body, '$.model')) AS model,
    coalesce(json_extract(body, '$.b'), json_extract(body, '$.billing_period')) AS billing_period,
    coalesce(json_extract(body, '$.s'), json_extract(body, '$.status'), 'active') AS status,
    coalesce(json_extract(body, '$.h'), json_extract(body, '$.priced'), 'catalog') AS priced,
    coalesce(json_extract(body, '$.v'), json_extract(body, '$.price_version'),
        CASE substr(body, 1, 12) WHEN '{"provider":' THEN 0 ELSE 1 END) AS price_version,
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
    coalesce(json_extract(body, '$.cr'), json_extract(body, '$.tokens_cache_read'))
        AS tokens_cache_read,
    coalesce(json_extract(body, '$.cw'), json_extract(body, '$.tokens_cache_write'))
        AS tokens_cache_write,
    coalesce(json_extract(body, '$.tr'), json_extract(body, '$.tokens_reasoning'))
        AS tokens_reasoning,
    coalesce(json_extract(body, '$.ns'), json_extract(body, '$.search_count')) AS search_count,
    coalesce(json_extract(body, '$.ni'), json_extract(body, '$.image_count')) AS image_count,
    coalesce(json_extract(body, '$.np'), json_extract(body, '$.page_count')) AS page_count,
    coalesce(json_extract(body, '$.e'), json_extract(body, '$.endpoint'), '') AS endpoint,
    coalesce(json_extract(body, '$.me'), json_extract(body, '$.method'), 'POST') AS method,
    coalesce(json_extract(body, '$.r'), json_extract(body, '$.response_time'), 0.0)
        AS response_time,
    coalesce(json_extract(body, '$.sc'), json_extract(body, '$.status_code'), 200) AS status_code,
    coalesce(json_extract(body, '$.qs'), json_extract(body, '$.request_size')) AS request_size,
    coalesce(json_extract(body, '$.rs'), json_extract(body, '$.response_size')) AS response_size,
    coalesce(json_extract(body, '$.rc'), json_extract(body, '$.retry_count'), 0) AS retry_count,
    coalesce(json_extract(body, '$.late'), 0) AS late,
    json_extract(body, '$.adjusted') AS adjusted,
    json_extract(body, '$.hold_id') AS hold_id,
    coalesce(json_extract(body, '$.hs'), json_extract(body, '$.hold_status')) AS hold_status,
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
        coalesce(json_extract(body, '$.t'), json_extract(body, '$.timestamp'), at) AS timestamp,
        coalesce(json_extract(body, '$.c'), json_extract(body, '$.cost_nano'), 0) AS cost_nano,
        coalesce(json_extract(body, '$.ci'), json_extract(body, '$.cost_input_nano'), 0)
            AS cost_input_nano,
        coalesce(json_extract(body, '$.co'), json_extract(body, '$.cost_output_nano'), 0)
            AS cost_output_nano,
        coalesce(json_extract(body, '$.cc'), json_extract(body, '$.cost_catalog_nano'))
            AS cost_catalog_nano,
        coalesce(json_extract(body, '$.i'), json_extract(body, '$.tokens_input'), 0)
            AS tokens_input,
        coalesce(json_extract(body, '$.o'), json_extract(body, '$.tokens_output'), 0)
            AS tokens_output
    FROM log
    WHERE kind = 'usage'
);
