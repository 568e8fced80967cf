-- name: watch_outbox
-- How many events wait to be published, $1 at most, and for how long the first has.
-- Plan: the partial index of each day, from its start, no further than the limit.
SELECT
    (SELECT count(*) FROM (SELECT FROM outbox WHERE stream_seq IS NULL LIMIT $1) AS waiting) AS backlog,
    coalesce((
        SELECT greatest(extract(epoch FROM clock_timestamp() - created_at), 0)
        FROM outbox
        WHERE stream_seq IS NULL
        ORDER BY seq
        LIMIT 1
    ), 0)::double precision AS oldest_s;

-- name: watch_deliveries
-- Of each channel that has ever run: how many deliveries are due and in nobody's hands, $1 at most,
-- and for how long the first has been.
-- Plan: deliveries_due of each channel, from its start, no further than the limit.
SELECT c.channel,
    (
        SELECT count(*)
        FROM (
            SELECT
            FROM deliveries AS d
            WHERE d.channel = c.channel AND d.status = 'pending' AND d.next_at <= now()
            LIMIT $1
        ) AS waiting
    ) AS due,
    coalesce((
        SELECT extract(epoch FROM now() - d.next_at)
        FROM deliveries AS d
        WHERE d.channel = c.channel AND d.status = 'pending' AND d.next_at <= now()
        ORDER BY d.next_at
        LIMIT 1
    ), 0)::double precision AS oldest_s
FROM channels AS c;

-- name: watch_dead
-- The dead deliveries by channel, $1 in all at most, the latest ones.
-- Plan: dead_deliveries from its end, no further than the limit.
SELECT channel, count(*) AS dead
FROM (
    SELECT channel FROM deliveries WHERE status = 'dead' ORDER BY created_at DESC LIMIT $1
) AS given_up
GROUP BY channel;

-- name: watch_partitions
-- How many months after this one, and days after today, have their partition.
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

-- name: watch_keeper
-- When each step of the keeper last ran to its end, and what it did then.
SELECT step, finished_at, done FROM keeper_steps;
