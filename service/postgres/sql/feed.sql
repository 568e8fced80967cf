-- name: feed_state
-- The epoch, the last published_seq, and the lowest published_seq that is kept.
-- Plan: two single rows, and the first row of outbox_by_publication.
SELECT d.epoch, r.published_seq AS latest,
    (SELECT min(o.published_seq) FROM outbox AS o WHERE o.published_seq IS NOT NULL) AS oldest
FROM deployment AS d CROSS JOIN relay_state AS r;

-- name: read_feed
-- The events of an account, with :vmbox_ids those of these boxes, after a published_seq. The event whose data reaches
-- :limit_bytes is the last. `rows_before_cut` counts the events before this cut.
-- Plan: outbox_by_account in order, over the days that are kept, stopped at the limit. The limit is hidden
-- from the planner, as in read_unsent.
WITH page AS MATERIALIZED (
    SELECT account_id, vmbox_id, sequence, event_id, type, data, traceparent, created_at,
        published_seq
    FROM outbox
    WHERE account_id = :account_id AND published_seq > :after
        AND (:vmbox_ids::uuid[] IS NULL OR vmbox_id = ANY(:vmbox_ids))
    ORDER BY published_seq
    LIMIT (SELECT :limit::bigint)
), {cut_by_bytes};

-- name: tail_feed
-- The events of all accounts after a published_seq, cut as in read_feed. One reader per process serves all
-- connections.
-- Plan: outbox_by_publication in order, stopped at the limit.
WITH page AS MATERIALIZED (
    SELECT account_id, vmbox_id, sequence, event_id, type, data, traceparent, created_at,
        published_seq
    FROM outbox
    WHERE published_seq > :after
    ORDER BY published_seq
    LIMIT (SELECT :limit::bigint)
), {cut_by_bytes};
