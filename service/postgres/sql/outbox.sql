-- name: read_unsent
-- One page of unsent events in seq order, at most :max_per_vmbox rows of a box, without the boxes in
-- :excluded_vmbox_ids. The row whose data reaches :limit_bytes is the last. (Box and account are compared
-- apart: queues of two accounts' own events may delay each other.)
-- Plan: the partial index of each day, merged in seq order, stopped at the limit. The limit is hidden from
-- the planner: it expects few rows and would otherwise read and sort all of them, which is far too many
-- after an outage. Sizes are computed for the whole page: 70 ms for 1000 events of 60 KB.
WITH page AS MATERIALIZED (
    SELECT account_id, vmbox_id, sequence, event_id, type, data, traceparent, created_at, day, seq,
        published_at
    FROM outbox
    WHERE stream_seq IS NULL AND seq > :after AND day BETWEEN :first_day AND :last_day
        AND NOT (
            vmbox_id = ANY (:excluded_vmbox_ids::uuid[])
            AND account_id = ANY (:excluded_account_ids::uuid[]))
    ORDER BY seq
    LIMIT (SELECT :limit::bigint)
), numbered AS (
    SELECT page.*,
        row_number() OVER (PARTITION BY account_id, vmbox_id ORDER BY seq) AS number_in_vmbox
    FROM page
), sized AS (
    SELECT numbered.*,
        count(*) OVER () AS rows_before_cut,
        coalesce(sum(octet_length(data::text)) FILTER (WHERE number_in_vmbox <= :max_per_vmbox) OVER (
            ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS bytes_before
    FROM numbered
), cut AS (
    SELECT sized.*, count(*) OVER () AS page_rows, max(seq) OVER () AS page_end
    FROM sized
    WHERE bytes_before < :limit_bytes
)
SELECT account_id, vmbox_id, sequence, event_id, type, convert_to(data::text, 'UTF8') AS data,
    data #>> '{message,media_id}' AS media_id, traceparent, created_at, day, seq,
    published_at IS NOT NULL AS published, page_rows, page_end,
    page_rows < rows_before_cut AS page_cut
FROM cut
WHERE number_in_vmbox <= :max_per_vmbox
ORDER BY seq;

-- name: read_outbox_head
-- The first unsent event, and the transactions that may still add earlier ones. (The xmax of a snapshot
-- would not do for own_transaction: transactions above it may be running.)
-- Plan: the first entry of each day's partial index.
SELECT (now() AT TIME ZONE 'utc')::date AS today,
    head.seq AS first_seq,
    head.day AS first_day,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_running,
    pg_current_xact_id()::text::bigint AS own_transaction
FROM (VALUES (true)) AS always (row)
LEFT JOIN LATERAL (
    SELECT seq, day FROM outbox WHERE stream_seq IS NULL ORDER BY seq LIMIT 1
) AS head ON true;

-- name: lock_position
-- Locks the relay's position for the marking transaction. No row when another relay has taken over. The
-- timeout frees the lock soon when the relay freezes in this transaction.
SELECT published_seq, stream_seq,
    set_config('idle_in_transaction_session_timeout', '2s', true) AS idle_timeout
FROM relay_state WHERE term = :term FOR NO KEY UPDATE;

-- name: mark_sent
-- Records the acknowledgements of the stream. A published_seq never changes once it is set.
-- Plan: the range of the partial index that contains the batch, with any join method.
UPDATE outbox AS o
SET published_at = coalesce(o.published_at, now()),
    published_seq = coalesce(o.published_seq, sent.published_seq),
    stream_seq = sent.stream_seq
FROM unnest(:seqs::bigint[], :published_seqs::bigint[], :stream_seqs::bigint[])
    AS sent (seq, published_seq, stream_seq)
WHERE o.stream_seq IS NULL AND o.seq = sent.seq
    AND o.seq BETWEEN :first_seq::bigint AND :last_seq::bigint
    AND o.day BETWEEN :first_day AND :last_day;

-- name: update_position
-- Records the last published_seq and the highest stream sequence that was acknowledged.
UPDATE relay_state
SET published_seq = :published_seq, stream_seq = :stream_seq,
    republished_at = CASE WHEN :republished::boolean THEN now() ELSE republished_at END;

-- name: mark_unsent_from
-- Marks all events that the stream stored at or after a sequence as unsent, because the stream lost them.
-- One statement, so that a killed relay leaves no part of it undone.
UPDATE outbox SET stream_seq = NULL WHERE stream_seq >= :stream_seq;

-- name: set_statement_timeout
-- Sets the statement timeout for the rest of this transaction.
SELECT set_config('statement_timeout', :duration, true);

-- name: record_stream
-- Records the creation time of the stream, and its highest sequence.
UPDATE relay_state SET stream_created_at = :created_at, stream_seq = :stream_seq;

-- name: get_republication
-- The time of the last republication, and a flag that events still wait for one.
SELECT now() AS now, republished_at,
    EXISTS (SELECT FROM outbox WHERE stream_seq IS NULL AND published_at IS NOT NULL) AS waiting
FROM relay_state;

-- name: mark_unsent_between
-- Marks the events that were published from :since until :until as unsent. For operators: it reads the days
-- between.
UPDATE outbox SET stream_seq = NULL
WHERE stream_seq IS NOT NULL AND published_at >= :since AND published_at < :until;

-- name: guard_lock_session
-- The server ends this session when its client is silent: frozen, disconnected or dead.
SELECT set_config('idle_session_timeout', :timeout_ms, false),
    set_config('tcp_keepalives_idle', '1', false),
    set_config('tcp_keepalives_interval', '1', false),
    set_config('tcp_keepalives_count', '3', false),
    set_config('tcp_user_timeout', :timeout_ms, false);

-- name: try_lock
-- Takes the lock of the active relay. False when another relay has it.
SELECT pg_try_advisory_lock(hashtextextended('aftertone relay', 0));

-- name: raise_term
-- Starts a new term. A relay of an earlier term can no longer mark events.
UPDATE relay_state SET term = term + 1 RETURNING term, stream_created_at, stream_seq;

-- name: renew_lock
-- Any statement shows the server that the client is alive.
SELECT 1;

-- name: raise_epoch
-- The next epoch of this deployment.
UPDATE deployment SET epoch = epoch + 1 RETURNING epoch;

-- name: wake_relay
-- Notifies the sessions of relay locks.
SELECT pg_notify(:channel, '');
