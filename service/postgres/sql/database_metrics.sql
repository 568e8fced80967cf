-- name: read_outbox_backlog
-- The number of unsent events, at most :limit, and the age of the oldest.
-- Plan: the partial index of each day, from its start, no further than the limit.
SELECT
    (
        SELECT count(*)
        FROM (SELECT FROM outbox WHERE stream_seq IS NULL LIMIT :limit) AS unsent
    ) AS backlog,
    coalesce((
        SELECT greatest(extract(epoch FROM clock_timestamp() - created_at), 0)
        FROM outbox
        WHERE stream_seq IS NULL
        ORDER BY seq
        LIMIT 1
    ), 0)::double precision AS oldest_s;

-- name: read_shard_lags
-- For each shard of the relay, the age of its oldest unsent event.
-- Plan: for each bucket, the first entry of each day's partial index, as in read_unsent.
SELECT buckets.bucket * state.shards / 64 AS shard,
    coalesce(max(greatest(extract(epoch FROM clock_timestamp() - oldest.created_at), 0)), 0)
        ::double precision AS lag_s
FROM relay_state AS state
CROSS JOIN generate_series(0, 63) AS buckets (bucket)
LEFT JOIN LATERAL (
    SELECT created_at
    FROM outbox
    WHERE stream_seq IS NULL AND relay_bucket(account_id, vmbox_id) = ANY (ARRAY[buckets.bucket])
    ORDER BY relay_bucket(account_id, vmbox_id), seq
    LIMIT 1
) AS oldest ON true
GROUP BY shard;

-- name: read_delivery_backlogs
-- For each channel that was ever started: the number of due deliveries that are not leased, at most :limit,
-- and the delay of the oldest.
-- Plan: deliveries_due of each channel, from its start, no further than the limit.
SELECT c.channel,
    (
        SELECT count(*)
        FROM (
            SELECT
            FROM deliveries AS d
            WHERE d.channel = c.channel AND d.status = 'pending' AND d.next_at <= now()
            LIMIT :limit
        ) AS due_deliveries
    ) AS due,
    coalesce((
        SELECT extract(epoch FROM now() - d.next_at)
        FROM deliveries AS d
        WHERE d.channel = c.channel AND d.status = 'pending' AND d.next_at <= now()
        ORDER BY d.next_at
        LIMIT 1
    ), 0)::double precision AS oldest_s
FROM channels AS c;

-- name: count_dead_deliveries
-- The dead deliveries by channel, of the newest :limit.
-- Plan: dead_deliveries from its end, no further than the limit.
SELECT channel, count(*) AS dead
FROM (
    SELECT channel FROM deliveries WHERE status = 'dead' ORDER BY created_at DESC LIMIT :limit
) AS newest
GROUP BY channel;

-- name: count_partitions_ahead
-- The number of months after this one, and of days after today, that have a partition.
SELECT
    count(*) FILTER (
        WHERE inhparent = 'messages'::regclass AND relname > 'messages_' || to_char(today, 'YYYYMM')
    ) AS months,
    count(*) FILTER (
        WHERE inhparent = 'outbox'::regclass AND relname > 'outbox_' || to_char(today, 'YYYYMMDD')
    ) AS days
FROM pg_inherits
JOIN pg_class ON oid = inhrelid
CROSS JOIN (SELECT now() AT TIME ZONE 'utc' AS today) AS clock
WHERE inhparent IN ('messages'::regclass, 'outbox'::regclass);

-- name: list_keeper_runs
-- The last completed run of each step of the keeper, with its counters.
SELECT step, finished_at, done FROM keeper_steps;
