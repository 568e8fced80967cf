-- name: register_channel
-- The time at which a channel was first started. For a new channel that is :lookback_s seconds ago.
INSERT INTO channels AS c (channel, began_at)
VALUES (:channel, now() - make_interval(secs => :lookback_s))
ON CONFLICT (channel) DO UPDATE SET began_at = c.began_at
RETURNING began_at;

-- name: insert_marker
-- Marks an event as fanned out to the targets of a channel. No row when it was before. A second session
-- that does the same waits for the first to commit.
INSERT INTO deliveries (account_id, event_id, channel, target, status, finished_at)
VALUES (:account_id, :event_id, :channel, '', 'ignored', now())
ON CONFLICT DO NOTHING
RETURNING event_id;

-- name: insert_targets
-- Adds the targets of an event and changes its marker from ignored to fanned_out.
WITH marker AS (
    UPDATE deliveries AS d
    SET status = 'fanned_out'
    WHERE d.account_id = :account_id AND d.event_id = :event_id AND d.channel = :channel
        AND d.target = ''
)
INSERT INTO deliveries (account_id, event_id, channel, target, status, event, state, next_at)
SELECT :account_id, :event_id, :channel, target, 'pending', :event, state,
    now() + make_interval(secs => delay_s)
FROM unnest(:targets::text[], :states::jsonb[], :delays_s::double precision[])
    AS t (target, state, delay_s)
ON CONFLICT DO NOTHING;

-- name: insert_dead_marker
-- Records an event that cannot be fanned out as dead, for an operator. Does nothing when it exists.
INSERT INTO deliveries (
    account_id, event_id, channel, target, status, event, state, last_error, finished_at
)
VALUES (:account_id, :event_id, :channel, '', 'dead', :event, :state, :error, now())
ON CONFLICT DO NOTHING;

-- name: lease_due
-- Leases up to :limit due rows of a channel for :lease_s seconds. A target gets at most :max_per_target of
-- them at a time, minus those that the caller has leased already (:leased_...). Targets at their maximum are
-- skipped, so that a target with a long queue does not delay others.
-- Plan: deliveries_due in order, the rows by primary key; skips rows that another session leases.
WITH leased AS MATERIALIZED (
    SELECT *
    FROM unnest(:leased_account_ids::uuid[], :leased_targets::text[], :leased_numbers::integer[])
        AS l (account_id, target, number)
), due AS MATERIALIZED (
    SELECT d.account_id, d.event_id, d.target, d.next_at, coalesce(l.number, 0) AS number
    FROM deliveries AS d
    LEFT JOIN leased AS l ON l.account_id = d.account_id AND l.target = d.target
    WHERE d.channel = :channel AND d.status = 'pending' AND d.next_at <= now()
        AND coalesce(l.number, 0) < :max_per_target
    ORDER BY d.next_at
    LIMIT 256
), numbered AS MATERIALIZED (
    SELECT due.*,
        number + row_number() OVER (PARTITION BY account_id, target ORDER BY next_at)
            AS number_in_target
    FROM due
), locked AS MATERIALIZED (
    SELECT d.account_id, d.event_id, d.target
    FROM numbered AS n
    JOIN deliveries AS d
        ON d.account_id = n.account_id AND d.event_id = n.event_id AND d.target = n.target
    WHERE n.number_in_target <= :max_per_target AND d.channel = :channel AND d.status = 'pending'
        AND d.next_at <= now()
    ORDER BY n.number_in_target, n.next_at
    LIMIT :limit
    FOR NO KEY UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d
SET lease_token = :token,
    lease_until = now() + make_interval(secs => :lease_s),
    next_at = now() + make_interval(secs => :lease_s)
FROM locked AS l
WHERE d.account_id = l.account_id AND d.event_id = l.event_id AND d.channel = :channel
    AND d.target = l.target
RETURNING d.*;

-- name: record_attempt
-- Records the outcome of an attempt. Only the holder of the lease may reschedule; status done is accepted
-- from any session, because the delivery has happened.
UPDATE deliveries AS d
SET status = :status,
    attempt = d.attempt + :attempts,
    next_at = now() + make_interval(secs => :delay_s),
    last_error = coalesce(:error, d.last_error),
    state = coalesce(:state, d.state),
    lease_token = NULL,
    lease_until = NULL,
    finished_at = CASE :status::text WHEN 'pending' THEN NULL ELSE now() END
WHERE d.account_id = :account_id AND d.event_id = :event_id AND d.channel = :channel
    AND d.target = :target AND d.status = 'pending' AND (d.lease_token = :token OR :status = 'done')
RETURNING d.attempt;

-- name: release_lease
-- Releases a lease without an attempt: the delivery is due at once.
UPDATE deliveries AS d
SET next_at = now(), lease_token = NULL, lease_until = NULL
WHERE d.account_id = :account_id AND d.event_id = :event_id AND d.channel = :channel
    AND d.target = :target AND d.status = 'pending' AND d.lease_token = :token;

-- name: lock_marker
-- Locks the marker of an event, so that its targets are completed one after the other.
SELECT status FROM deliveries
WHERE account_id = :account_id AND event_id = :event_id AND channel = :channel AND target = ''
FOR NO KEY UPDATE;

-- name: count_unfinished
-- The number of targets of an event that are not done.
SELECT count(*) FROM deliveries
WHERE account_id = :account_id AND event_id = :event_id AND channel = :channel
    AND target <> '' AND status <> 'done';

-- name: list_deliveries
-- Deliveries, newest first. Markers of fanned-out events only with that :status. Null parameters match all.
SELECT d.* FROM deliveries AS d
WHERE (:account_id::uuid IS NULL OR d.account_id = :account_id)
    AND (:channel::text IS NULL OR d.channel = :channel)
    AND (:status::text IS NULL OR d.status = :status)
    AND (:status IS NOT NULL OR d.status <> 'fanned_out')
ORDER BY d.created_at DESC, d.event_id, d.channel, d.target
LIMIT :limit;

-- name: list_deliveries_of_event
-- All rows of an event. A null :channel or :target matches all.
SELECT d.* FROM deliveries AS d
WHERE d.account_id = :account_id AND d.event_id = :event_id
    AND (:channel::text IS NULL OR d.channel = :channel)
    AND (:target::text IS NULL OR d.target = :target)
ORDER BY d.channel, d.target;

-- name: retry_deliveries
-- Makes dead deliveries due again, from the first attempt on. Null parameters match all.
UPDATE deliveries AS d
SET status = 'pending', attempt = 0, next_at = now(), finished_at = NULL
WHERE (:account_id::uuid IS NULL OR d.account_id = :account_id)
    AND (:event_id::uuid IS NULL OR d.event_id = :event_id)
    AND (:channel::text IS NULL OR d.channel = :channel)
    AND (:target::text IS NULL OR d.target = :target)
    AND d.status = 'dead';

-- name: list_dead_deliveries
-- A page of the dead deliveries of an account, newest first. A null :created_at starts at the newest.
-- Plan: dead_deliveries_of_account backwards, stops when the page is full.
SELECT d.* FROM deliveries AS d
WHERE d.account_id = :account_id AND d.status = 'dead'
    AND (
        :created_at::timestamptz IS NULL
        OR (d.created_at, d.event_id, d.channel, d.target)
            <= (:created_at, :event_id::uuid, :channel::text, :target::text)
    )
ORDER BY d.created_at DESC, d.event_id DESC, d.channel DESC, d.target DESC
LIMIT :limit;

-- name: retry_dead_deliveries
-- Makes up to :limit dead deliveries of an account due again, the oldest first, from the first attempt on.
-- A null :event_id, :channel or :target matches all. The rows that another session changes are skipped.
-- Plan: dead_deliveries_of_account, the rows by primary key.
WITH dead AS MATERIALIZED (
    SELECT d.event_id, d.channel, d.target
    FROM deliveries AS d
    WHERE d.account_id = :account_id AND d.status = 'dead'
        AND (:event_id::uuid IS NULL OR d.event_id = :event_id)
        AND (:channel::text IS NULL OR d.channel = :channel)
        AND (:target::text IS NULL OR d.target = :target)
    ORDER BY d.created_at
    LIMIT :limit
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE deliveries AS d
SET status = 'pending', attempt = 0, next_at = now(), finished_at = NULL
FROM dead
WHERE d.account_id = :account_id AND d.event_id = dead.event_id AND d.channel = dead.channel
    AND d.target = dead.target;

-- name: drop_deliveries
-- Drops pending and dead deliveries. Null parameters match all.
UPDATE deliveries AS d
SET status = 'dropped', finished_at = now(), lease_token = NULL, lease_until = NULL
WHERE (:account_id::uuid IS NULL OR d.account_id = :account_id)
    AND (:event_id::uuid IS NULL OR d.event_id = :event_id)
    AND (:channel::text IS NULL OR d.channel = :channel)
    AND (:target::text IS NULL OR d.target = :target)
    AND d.status IN ('pending', 'dead') AND (:status::text IS NULL OR d.status = :status);

-- name: delete_old_deliveries
-- Deletes up to :limit rows that are not pending and older than :before, which must exceed the retention of
-- the stream.
DELETE FROM deliveries AS d
USING (
    SELECT account_id, event_id, channel, target FROM deliveries
    WHERE created_at < :before AND status <> 'pending'
    ORDER BY created_at
    LIMIT :limit
) AS o
WHERE d.account_id = o.account_id AND d.event_id = o.event_id AND d.channel = o.channel
    AND d.target = o.target;
