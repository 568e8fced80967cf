-- name: feed_state
-- The epoch, the last number given to an event, and the lowest number that is kept.
-- Plan: two single rows, and the first row of outbox_by_publication.
SELECT d.epoch, r.published_seq AS latest,
    (SELECT min(o.published_seq) FROM outbox AS o WHERE o.published_seq IS NOT NULL) AS oldest
FROM deployment AS d CROSS JOIN relay_state AS r;

-- name: read_feed
-- The events of an account, or of one box of it, after a number.
-- Plan: outbox_by_account in order, over the days that are kept, until there are enough.
SELECT account_id, vmbox_id, sequence, event_id, type, data::text AS data,
    data #>> '{message,media_id}' AS media_id, traceparent, created_at, published_seq
FROM outbox
WHERE account_id = $1 AND published_seq > $3 AND ($2::uuid IS NULL OR vmbox_id = $2)
ORDER BY published_seq
LIMIT $4;

-- name: tail_feed
-- The events of all accounts after a number: one reader per process serves all its connections.
-- Plan: outbox_by_publication in order, until there are enough.
SELECT account_id, vmbox_id, sequence, event_id, type, data::text AS data,
    data #>> '{message,media_id}' AS media_id, traceparent, created_at, published_seq
FROM outbox
WHERE published_seq > $1
ORDER BY published_seq
LIMIT $2;
