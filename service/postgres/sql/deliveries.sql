-- name: channel_began
-- When a channel began; one that is unknown begins now, or rather $2 seconds ago.
INSERT INTO channels AS c (channel, began_at)
VALUES ($1, now() - make_interval(secs => $2))
ON CONFLICT (channel) DO UPDATE SET began_at = c.began_at
RETURNING began_at;

-- name: insert_marker
-- Notes that an event is being dealt out to a channel's targets; no row when it was already. Two that
-- do it at once: the second waits for the first one's end.
INSERT INTO deliveries (account_id, event_id, channel, target, status, finished_at)
VALUES ($1, $2, $3, '', 'ignored', now())
ON CONFLICT DO NOTHING
RETURNING event_id;

-- name: insert_targets
-- Deals an event out. The marker, ignored while there is no target, says so.
WITH marker AS (
    UPDATE deliveries AS d
    SET status = 'fanned_out'
    WHERE d.account_id = $1 AND d.event_id = $2 AND d.channel = $3 AND d.target = ''
)
INSERT INTO deliveries (account_id, event_id, channel, target, status, event, state, next_at)
SELECT $1, $2, $3, target, 'pending', $4, state, now() + make_interval(secs => delay_s)
FROM unnest($5::text[], $6::jsonb[], $7::double precision[]) AS given (target, state, delay_s)
ON CONFLICT DO NOTHING;

-- name: insert_dead_marker
-- An event that cannot be dealt out: dead, for an operator to look at. Nothing when it is there already.
INSERT INTO deliveries (
    account_id, event_id, channel, target, status, event, state, last_error, finished_at
)
VALUES ($1, $2, $3, '', 'dead', $4, $5, $6, now())
ON CONFLICT DO NOTHING;

-- name: take_due
-- Takes up to $2 rows of a channel that are due, for $4 seconds. No target gets more than $3 of them at a
-- time, less what the caller holds already ($6, $7: targets, $8: how many). Those that have their
-- share are stepped over, so that a target with a long queue holds up nobody behind it.
-- Plan: deliveries_due in order, the rows by primary key; rows that another one takes are skipped.
WITH held AS MATERIALIZED (
    SELECT * FROM unnest($6::uuid[], $7::text[], $8::integer[]) AS h (account_id, target, number)
), due AS MATERIALIZED (
    SELECT d.account_id, d.event_id, d.target, d.next_at, coalesce(h.number, 0) AS number
    FROM deliveries AS d
    LEFT JOIN held AS h ON h.account_id = d.account_id AND h.target = d.target
    WHERE d.channel = $1 AND d.status = 'pending' AND d.next_at <= now()
        AND coalesce(h.number, 0) < $3
    ORDER BY d.next_at
    LIMIT 256
), fair AS MATERIALIZED (
    SELECT due.*,
        number + row_number() OVER (PARTITION BY account_id, target ORDER BY next_at) AS place
    FROM due
), taken AS MATERIALIZED (
    SELECT d.account_id, d.event_id, d.target
    FROM fair AS f
    JOIN deliveries AS d
        ON d.account_id = f.account_id AND d.event_id = f.event_id AND d.target = f.target
    WHERE f.place <= $3 AND d.channel = $1 AND d.status = 'pending' AND d.next_at <= now()
    ORDER BY f.place, f.next_at
    LIMIT $2
    FOR NO KEY UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d
SET lease_token = $5,
    lease_until = now() + make_interval(secs => $4),
    next_at = now() + make_interval(secs => $4)
FROM taken AS t
WHERE d.account_id = t.account_id AND d.event_id = t.event_id AND d.channel = $1
    AND d.target = t.target
RETURNING d.*;

-- name: finish
-- Writes how an attempt ended. Only whoever holds the lease may say that it is to be tried again; that
-- it is done is true whoever says it.
UPDATE deliveries AS d
SET status = $6,
    attempt = d.attempt + $7,
    next_at = now() + make_interval(secs => $8),
    last_error = coalesce($9, d.last_error),
    state = coalesce($10, d.state),
    lease_token = NULL,
    lease_until = NULL,
    finished_at = CASE $6::text WHEN 'pending' THEN NULL ELSE now() END
WHERE d.account_id = $1 AND d.event_id = $2 AND d.channel = $3 AND d.target = $4
    AND d.status = 'pending' AND (d.lease_token = $5 OR $6 = 'done')
RETURNING d.attempt;

-- name: release
-- Gives back what was taken and not tried: due at once, for anybody.
UPDATE deliveries AS d
SET next_at = now(), lease_token = NULL, lease_until = NULL
WHERE d.account_id = $1 AND d.event_id = $2 AND d.channel = $3 AND d.target = $4
    AND d.status = 'pending' AND d.lease_token = $5;

-- name: hold_event
-- Locks an event's marker, so that of its targets one after the other may look at the others.
SELECT status FROM deliveries
WHERE account_id = $1 AND event_id = $2 AND channel = $3 AND target = ''
FOR NO KEY UPDATE;

-- name: count_unfinished
-- How many targets of an event have not had it.
SELECT count(*) FROM deliveries
WHERE account_id = $1 AND event_id = $2 AND channel = $3 AND target <> '' AND status <> 'done';

-- name: list_deliveries
-- For an operator, newest first; markers of what went well only when asked for. $1 null: all accounts.
SELECT d.* FROM deliveries AS d
WHERE ($1::uuid IS NULL OR d.account_id = $1)
    AND ($2::text IS NULL OR d.channel = $2)
    AND ($3::text IS NULL OR d.status = $3)
    AND ($3 IS NOT NULL OR d.status <> 'fanned_out')
ORDER BY d.created_at DESC, d.event_id, d.channel, d.target
LIMIT $4;

-- name: show_deliveries
-- All rows of an event.
SELECT d.* FROM deliveries AS d
WHERE d.account_id = $1 AND d.event_id = $2
    AND ($3::text IS NULL OR d.channel = $3)
    AND ($4::text IS NULL OR d.target = $4)
ORDER BY d.channel, d.target;

-- name: retry_deliveries
-- Dead rows are due again, from the first attempt on. What is null is not asked for.
UPDATE deliveries AS d
SET status = 'pending', attempt = 0, next_at = now(), finished_at = NULL
WHERE ($1::uuid IS NULL OR d.account_id = $1)
    AND ($2::uuid IS NULL OR d.event_id = $2)
    AND ($3::text IS NULL OR d.channel = $3)
    AND ($4::text IS NULL OR d.target = $4)
    AND d.status = 'dead';

-- name: drop_deliveries
-- Rows that wait or are dead are given up. What is null is not asked for; $5: only such.
UPDATE deliveries AS d
SET status = 'dropped', finished_at = now(), lease_token = NULL, lease_until = NULL
WHERE ($1::uuid IS NULL OR d.account_id = $1)
    AND ($2::uuid IS NULL OR d.event_id = $2)
    AND ($3::text IS NULL OR d.channel = $3)
    AND ($4::text IS NULL OR d.target = $4)
    AND d.status IN ('pending', 'dead') AND ($5::text IS NULL OR d.status = $5);

-- name: delete_old_deliveries
-- Rows that nobody asks for any more, at most $2: longer kept than any stream could be replayed.
DELETE FROM deliveries AS d
USING (
    SELECT account_id, event_id, channel, target FROM deliveries
    WHERE created_at < $1 AND status <> 'pending'
    ORDER BY created_at
    LIMIT $2
) AS o
WHERE d.account_id = o.account_id AND d.event_id = o.event_id AND d.channel = o.channel
    AND d.target = o.target;
