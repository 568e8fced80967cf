-- name: feed_state
-- The epoch, the last number given to an event, and the lowest number that is kept.
-- Plan: two single rows, and the first row of outbox_by_publication.
SELECT d.epoch, r.published_seq AS latest,
    (SELECT min(o.published_seq) FROM outbox AS o WHERE o.published_seq IS NOT NULL) AS oldest
FROM deployment AS d CROSS JOIN relay_state AS r;

-- name: read_feed
-- The events of an account, or of one box of it, after a number; cut short behind the one with which
-- their data reaches $5 bytes. `found` counts those before the cut.
-- Plan: outbox_by_account in order, over the days that are kept, until there are enough. A limit that
-- the planner does not know keeps it to that, as in read_unsent.
WITH page AS MATERIALIZED (
    SELECT account_id, vmbox_id, sequence, event_id, type, data, traceparent, created_at,
        published_seq
    FROM outbox
    WHERE account_id = $1 AND published_seq > $3 AND ($2::uuid IS NULL OR vmbox_id = $2)
    ORDER BY published_seq
    LIMIT (SELECT $4::bigint)
), sized AS (
    SELECT page.*,
        count(*) OVER () AS found,
        coalesce(sum(octet_length(data::text)) OVER (
            ORDER BY published_seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS bytes_before
    FROM page
)
SELECT account_id, vmbox_id, sequence, event_id, type, convert_to(data::text, 'UTF8') AS data,
    data #>> '{message,media_id}' AS media_id, traceparent, created_at, published_seq, found
FROM sized
WHERE bytes_before < $5
ORDER BY published_seq;

-- name: tail_feed
-- The events of all accounts after a number, cut short likewise: one reader per process serves all
-- its connections.
-- Plan: outbox_by_publication in order, until there are enough.
WITH page AS MATERIALIZED (
    SELECT account_id, vmbox_id, sequence, event_id, type, data, traceparent, created_at,
        published_seq
    FROM outbox
    WHERE published_seq > $1
    ORDER BY published_seq
    LIMIT (SELECT $2::bigint)
), sized AS (
    SELECT page.*,
        count(*) OVER () AS found,
        coalesce(sum(octet_length(data::text)) OVER (
            ORDER BY published_seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS bytes_before
    FROM page
)
SELECT account_id, vmbox_id, sequence, event_id, type, convert_to(data::text, 'UTF8') AS data,
    data #>> '{message,media_id}' AS media_id, traceparent, created_at, published_seq, found
FROM sized
WHERE bytes_before < $3
ORDER BY published_seq;
