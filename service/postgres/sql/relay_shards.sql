-- name: guard_lock_session
-- The server ends this session when its client is silent: frozen, disconnected or dead.
SELECT set_config('idle_session_timeout', :timeout_ms, false),
    set_config('tcp_keepalives_idle', '1', false),
    set_config('tcp_keepalives_interval', '1', false),
    set_config('tcp_keepalives_count', '3', false),
    set_config('tcp_user_timeout', :timeout_ms, false);

-- name: join_relays
-- Takes the lock that all relays share. False when a relay of a release without shards has it alone.
SELECT pg_try_advisory_lock_shared(hashtextextended('aftertone relay', 0));

-- name: set_shards
-- Sets the number of shards for all relays.
UPDATE relay_state SET shards = :shards WHERE shards <> :shards;

-- name: survey_relays
-- The number of shards, the sessions of all relays, and the buckets that other sessions have locked. Also shows
-- the server that this client is alive.
-- Plan: the locks of the server in shared memory.
WITH relay_locks AS MATERIALIZED (
    SELECT l.pid, l.objid, l.objsubid = 2 AS is_bucket
    FROM pg_locks AS l
    CROSS JOIN (SELECT hashtextextended('aftertone relay', 0) AS number) AS key
    WHERE l.locktype = 'advisory' AND l.granted
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (
            (l.objsubid = 2 AND l.classid = hashtext('aftertone relay bucket')::oid)
            OR (
                l.objsubid = 1 AND l.mode = 'ShareLock'
                AND l.classid = ((key.number >> 32) & 4294967295)::oid
                AND l.objid = (key.number & 4294967295)::oid
            )
        )
)
SELECT s.shards, pg_backend_pid() AS session,
    (SELECT array_agg(pid ORDER BY pid) FROM relay_locks WHERE NOT is_bucket) AS sessions,
    (
        SELECT coalesce(array_agg(objid::bigint), '{}')
        FROM relay_locks
        WHERE is_bucket AND pid <> pg_backend_pid()
    ) AS taken
FROM relay_state AS s;

-- name: lock_buckets
-- Locks buckets for this session, and returns those that it has locked. The first bucket decides between two
-- relays: only the relay that has locked it tries the others.
WITH first AS MATERIALIZED (
    SELECT pg_try_advisory_lock(hashtext('aftertone relay bucket'), :first::integer) AS is_locked
), others AS MATERIALIZED (
    SELECT o.bucket, pg_try_advisory_lock(hashtext('aftertone relay bucket'), o.bucket) AS is_locked
    FROM first
    JOIN unnest(:others::integer[]) AS o (bucket) ON first.is_locked
)
SELECT :first::integer AS bucket FROM first WHERE is_locked
UNION ALL
SELECT bucket FROM others WHERE is_locked;

-- name: unlock_buckets
-- Unlocks buckets of this session.
SELECT pg_advisory_unlock(hashtext('aftertone relay bucket'), o.bucket)
FROM unnest(:buckets::integer[]) AS o (bucket);

-- name: raise_terms
-- Starts new terms of buckets. A relay of an earlier term can no longer mark events.
WITH locked AS MATERIALIZED (
    SELECT bucket FROM relay_buckets WHERE bucket = ANY (:buckets::integer[]) ORDER BY bucket FOR UPDATE
)
UPDATE relay_buckets AS b SET term = b.term + 1 FROM locked WHERE b.bucket = locked.bucket
RETURNING b.bucket, b.term;

-- name: wake_relay
-- Notifies the lock sessions of all relays.
SELECT pg_notify(:channel, '');
