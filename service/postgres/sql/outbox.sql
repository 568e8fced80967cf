-- name: read_unsent
-- One page of unsent events of :buckets in seq order, at most :max_per_vmbox rows of a box, without the boxes in
-- :excluded_vmbox_ids. The row whose data reaches :limit_bytes is the last. (Box and account are compared
-- apart: queues of two accounts' own events may delay each other.) Only the index of the buckets has the order of
-- the rows of a bucket: with `= owned.bucket`, the planner may choose another index by seq and read all rows of the
-- day for each bucket.
-- Plan: for each bucket, the partial index of each day, merged in seq order, stopped at the limit. The limit is
-- hidden from the planner: it expects few rows and would otherwise read and sort all of them, which is far too
-- many after an outage. Sizes are computed for the whole page: 70 ms for 1000 events of 60 KB.
WITH rows_of_buckets AS MATERIALIZED (
    SELECT o.*, owned.bucket
    FROM unnest(:buckets::integer[]) AS owned (bucket)
    CROSS JOIN LATERAL (
        SELECT account_id, vmbox_id, sequence, event_id, type, data, traceparent, created_at, day, seq,
            published_at
        FROM outbox
        WHERE stream_seq IS NULL AND relay_bucket(account_id, vmbox_id) = ANY (ARRAY[owned.bucket])
            AND seq > :after AND day BETWEEN :first_day AND :last_day
            AND NOT (
                vmbox_id = ANY (:excluded_vmbox_ids::uuid[])
                AND account_id = ANY (:excluded_account_ids::uuid[]))
        ORDER BY relay_bucket(account_id, vmbox_id), seq
        LIMIT (SELECT :max_per_bucket::bigint)
    ) AS o
), page AS MATERIALIZED (
    SELECT * FROM rows_of_buckets ORDER BY seq LIMIT :limit
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
SELECT cut.account_id, cut.vmbox_id, cut.sequence, cut.event_id, cut.type,
    convert_to(cut.data::text, 'UTF8') AS data, cut.data #>> '{message,media_id}' AS media_id,
    cut.traceparent, cut.created_at, cut.day, cut.seq, cut.published_at IS NOT NULL AS published,
    cut.bucket, cut.page_rows, cut.page_end, cut.page_rows < cut.rows_before_cut AS page_cut,
    state.stream_seq AS recorded_stream_seq, state.stream_losses,
    (
        SELECT max(rows)
        FROM (SELECT count(*) AS rows FROM rows_of_buckets GROUP BY bucket) AS buckets
    ) AS fullest_bucket
FROM cut
CROSS JOIN relay_state AS state
WHERE cut.number_in_vmbox <= :max_per_vmbox
ORDER BY cut.seq;

-- name: read_outbox_head
-- The first unsent event of :buckets, and the transactions that may still add earlier ones. (The xmax of a
-- snapshot would not do for own_transaction: transactions above it may be running.)
-- Plan: for each bucket, the first entry of each day's partial index.
SELECT (now() AT TIME ZONE 'utc')::date AS today,
    head.seq AS first_seq,
    head.day AS first_day,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_running,
    pg_current_xact_id()::text::bigint AS own_transaction
FROM (VALUES (true)) AS always (row)
LEFT JOIN LATERAL (
    SELECT first.seq, first.day
    FROM unnest(:buckets::integer[]) AS owned (bucket)
    CROSS JOIN LATERAL (
        SELECT seq, day
        FROM outbox
        WHERE stream_seq IS NULL AND relay_bucket(account_id, vmbox_id) = ANY (ARRAY[owned.bucket])
        ORDER BY relay_bucket(account_id, vmbox_id), seq
        LIMIT 1
    ) AS first
    ORDER BY first.seq
    LIMIT 1
) AS head ON true;

-- name: read_relay_state
-- The number of shards, and what is recorded about the stream.
SELECT shards, stream_created_at, stream_seq, stream_losses FROM relay_state;

-- name: mark_sent
-- Records the acknowledgements of the stream, unless a term ended or the stream lost events. The row of the
-- position is locked until the commit, so numbers are committed in their order. A published_seq never changes
-- once it is set.
-- Plan: the range of the partial index that contains the batch, with any join method.
WITH owned AS MATERIALIZED (
    SELECT b.bucket
    FROM relay_buckets AS b
    JOIN unnest(:buckets::integer[], :terms::bigint[]) AS o (bucket, term)
        ON b.bucket = o.bucket AND b.term = o.term
    ORDER BY b.bucket
    FOR SHARE OF b
), terms AS MATERIALIZED (
    SELECT count(*) = cardinality(:buckets::integer[]) AS hold FROM owned
), position AS (
    UPDATE relay_state AS s
    SET published_seq = s.published_seq + :new_rows,
        stream_seq = greatest(s.stream_seq, :stream_seq),
        republished_at = CASE WHEN :republished::boolean THEN now() ELSE s.republished_at END
    FROM terms
    WHERE terms.hold AND s.stream_losses = :stream_losses
    RETURNING old.published_seq
), marked AS (
    UPDATE outbox AS o
    SET published_at = coalesce(o.published_at, now()),
        published_seq = coalesce(o.published_seq, position.published_seq + sent.number),
        stream_seq = sent.stream_seq
    FROM position
    CROSS JOIN unnest(
        :row_buckets::integer[], :seqs::bigint[], :numbers::bigint[], :stream_seqs::bigint[]
    ) AS sent (bucket, seq, number, stream_seq)
    WHERE o.stream_seq IS NULL
        AND relay_bucket(o.account_id, o.vmbox_id) = sent.bucket AND o.seq = sent.seq
        AND o.seq BETWEEN :first_seq::bigint AND :last_seq::bigint
        AND o.day BETWEEN :first_day AND :last_day
)
SELECT hold AS terms_hold, EXISTS (SELECT FROM position) AS is_marked FROM terms;

-- name: mark_unsent_from
-- Marks all events that the stream stored at or after a sequence as unsent, because the stream lost them.
-- One statement, so that a killed relay leaves no part of it undone.
UPDATE outbox SET stream_seq = NULL WHERE stream_seq >= :stream_seq;

-- name: set_statement_timeout
-- Sets the statement timeout for the rest of this transaction.
SELECT set_config('statement_timeout', :duration, true);

-- name: record_stream
-- Records the creation time of the first stream.
UPDATE relay_state SET stream_created_at = :created_at WHERE stream_created_at IS NULL;

-- name: record_loss
-- Records a loss of the stream: its creation time and its highest sequence now. No row when another relay has
-- recorded it. The timeout frees the row soon when the relay freezes in this transaction.
UPDATE relay_state
SET stream_created_at = :created_at, stream_seq = :stream_seq, stream_losses = stream_losses + 1
WHERE stream_losses = :losses
RETURNING set_config('idle_in_transaction_session_timeout', '2s', true);

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

-- name: raise_epoch
-- The next epoch of this deployment.
UPDATE deployment SET epoch = epoch + 1 RETURNING epoch;
