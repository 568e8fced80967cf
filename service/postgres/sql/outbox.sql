-- name: read_unsent
-- One page of what is to be sent, in seq order, at most $7 rows of a box, without the boxes whose
-- lane is stopped, cut short behind the row with which their data reaches $8 bytes. (A box is told by
-- its id and its account apart: lanes of two accounts' own events may hold each other up for one
-- delay.)
-- Plan: the partial index of each day, merged in seq order, stopped at the limit. A limit that the
-- planner does not know keeps it to that: it thinks that few rows wait, and would rather fetch all
-- of them and sort, which is far too many after an outage. Sizes are taken of the whole page: 70 ms
-- for 1000 events of 60 KB.
WITH page AS MATERIALIZED (
    SELECT account_id, vmbox_id, sequence, event_id, type, data, traceparent, created_at, day, seq,
        published_at
    FROM outbox
    WHERE stream_seq IS NULL AND seq > $1 AND day BETWEEN $2 AND $3
        AND NOT (vmbox_id = ANY ($5::uuid[]) AND account_id = ANY ($4::uuid[]))
    ORDER BY seq
    LIMIT (SELECT $6::bigint)
), placed AS (
    SELECT page.*,
        row_number() OVER (PARTITION BY account_id, vmbox_id ORDER BY seq) AS place
    FROM page
), sized AS (
    SELECT placed.*,
        count(*) OVER () AS found_rows,
        coalesce(sum(octet_length(data::text)) FILTER (WHERE place <= $7) OVER (
            ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS bytes_before
    FROM placed
), cut AS (
    SELECT sized.*, count(*) OVER () AS page_rows, max(seq) OVER () AS page_end
    FROM sized
    WHERE bytes_before < $8
)
SELECT account_id, vmbox_id, sequence, event_id, type, convert_to(data::text, 'UTF8') AS data,
    data #>> '{message,media_id}' AS media_id, traceparent, created_at, day, seq,
    published_at IS NOT NULL AS published, page_rows, page_end, page_rows < found_rows AS page_cut
FROM cut
WHERE place <= $7
ORDER BY seq;

-- name: survey
-- Where reading may begin: the first row to be sent, and which transactions may still add others.
-- (The xmax of a snapshot would not do for `own`: transactions above it may be running.)
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

-- name: hold_place
-- Locks the relay's place for the marking transaction; no row when another relay has taken it. A
-- relay that freezes in that transaction must not keep the next one out for long.
SELECT published_seq, stream_seq,
    set_config('idle_in_transaction_session_timeout', '2s', true) AS patience
FROM relay_state WHERE term = $1 FOR NO KEY UPDATE;

-- name: mark_sent
-- Notes what the stream acknowledged. A number once given stays.
-- Plan: the stretch of the partial index in which the batch lies, however the join is done.
UPDATE outbox AS o
SET published_at = coalesce(o.published_at, now()),
    published_seq = coalesce(o.published_seq, sent.published_seq),
    stream_seq = sent.stream_seq
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS sent (seq, published_seq, stream_seq)
WHERE o.stream_seq IS NULL AND o.seq = sent.seq
    AND o.seq BETWEEN $4::bigint AND $5::bigint AND o.day BETWEEN $6 AND $7;

-- name: advance_place
-- Notes the last number given and the highest sequence that the stream acknowledged.
UPDATE relay_state
SET published_seq = $1, stream_seq = $2,
    republished_at = CASE WHEN $3::boolean THEN now() ELSE republished_at END;

-- name: forget_sent
-- The stream lost what it had from a sequence on: that is to be sent again. All in one statement, so
-- that no part of it is forgotten when the relay is killed.
UPDATE outbox SET stream_seq = NULL WHERE stream_seq >= $1;

-- name: allow_long
-- For the rest of this transaction a statement may take so long.
SELECT set_config('statement_timeout', $1, true);

-- name: know_stream
-- Notes which stream it is, and the highest sequence that it still has.
UPDATE relay_state SET stream_created_at = $1, stream_seq = $2;

-- name: last_republication
-- When rows were last sent again, and whether some still wait for that.
SELECT now() AS now, republished_at,
    EXISTS (SELECT FROM outbox WHERE stream_seq IS NULL AND published_at IS NOT NULL) AS waiting
FROM relay_state;

-- name: forget_published_between
-- Has what was published from $1 until $2 sent again. By hand and rare: it reads the days in between.
UPDATE outbox SET stream_seq = NULL
WHERE stream_seq IS NOT NULL AND published_at >= $1 AND published_at < $2;

-- name: guard_lock_session
-- The server ends this session when its client falls silent: frozen, cut off, or gone.
SELECT set_config('idle_session_timeout', $1, false),
    set_config('tcp_keepalives_idle', '1', false),
    set_config('tcp_keepalives_interval', '1', false),
    set_config('tcp_keepalives_count', '3', false),
    set_config('tcp_user_timeout', $1, false);

-- name: try_lock
-- One relay is active; the others ask again.
SELECT pg_try_advisory_lock(hashtextextended('aftertone relay', 0));

-- name: raise_term
-- Takes the place: whoever had it before marks nothing from here on.
UPDATE relay_state SET term = term + 1 RETURNING term, stream_created_at, stream_seq;

-- name: renew_lock
-- Any statement tells the server that the client is alive.
SELECT 1;

-- name: raise_epoch
-- The next epoch of this deployment.
UPDATE deployment SET epoch = epoch + 1 RETURNING epoch;
