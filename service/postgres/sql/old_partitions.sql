-- name: list_old_partitions
-- The partitions of a table before :before, oldest first, with those whose drop was interrupted: `state` is
-- the last step that was done. :format is the date in their names: YYYYMMDD for a day, YYYYMM for a month.
SELECT to_date(substr(t.relname, length(:parent::text) + 2), :format::text) AS begins_on,
    CASE
        WHEN i.inhrelid IS NULL THEN 'detached'
        WHEN i.inhdetachpending THEN 'detaching'
        ELSE 'attached'
    END AS state,
    format('ALTER TABLE %I DETACH PARTITION %I CONCURRENTLY', :parent, t.relname) AS detach,
    format('ALTER TABLE %I DETACH PARTITION %I FINALIZE', :parent, t.relname) AS finalize,
    format('DROP TABLE %I', t.relname) AS drop
FROM pg_class AS t
LEFT JOIN pg_inherits AS i ON i.inhrelid = t.oid AND i.inhparent = to_regclass(:parent)
WHERE t.relnamespace = 'public'::regnamespace AND t.relkind = 'r'
    AND t.relname ~ ('^' || :parent || '_\d+$')
    AND t.relname < :parent || '_' || to_char(:before::date, :format)
ORDER BY begins_on;

-- name: is_day_published
-- True when all events of a day were sent, the last of them published before :published_before. (Numbers
-- rise with the time of publication, so the highest of the day is the last.)
-- Plan: the first entry of the day's index of unsent events, the last one of outbox_by_publication.
SELECT NOT EXISTS (SELECT FROM outbox WHERE day = :day AND stream_seq IS NULL)
    AND coalesce((
        SELECT published_at
        FROM outbox
        WHERE day = :day AND published_seq IS NOT NULL
        ORDER BY published_seq DESC
        LIMIT 1
    ) < :published_before, true);

-- name: list_month_tables
-- The months that have a table of messages, oldest first, with its size. `state` is the last step of a drop that
-- was done.
SELECT substr(t.relname, 10)::integer AS month, pg_total_relation_size(t.oid) AS bytes,
    CASE
        WHEN i.inhrelid IS NULL THEN 'detached'
        WHEN i.inhdetachpending THEN 'detaching'
        ELSE 'attached'
    END AS state
FROM pg_class AS t
LEFT JOIN pg_inherits AS i ON i.inhrelid = t.oid AND i.inhparent = 'messages'::regclass
WHERE t.relnamespace = 'public'::regnamespace AND t.relkind = 'r' AND t.relname ~ '^messages_\d{6}$'
ORDER BY month;

-- name: count_month
-- The messages of a month, those that were removed, and the bytes of their audio.
-- Plan: one partition, all of it.
SELECT count(*) FILTER (WHERE removed_at IS NULL) AS messages,
    count(*) FILTER (WHERE removed_at IS NOT NULL) AS removed,
    coalesce(sum(audio_size), 0)::bigint AS audio_bytes
FROM messages
WHERE month = :month;

-- name: has_messages
-- True when a month has messages, removed or not.
-- Plan: the first row of one partition.
SELECT EXISTS (SELECT FROM messages WHERE month = :month);

-- name: is_month_overdue
-- True when a month still has a message that is unchanged since :changed_before and is from before
-- :received_before, or was removed before :removed_before and is not held. The keeper should have removed or
-- purged it.
-- Plan: messages_by_age and messages_to_purge of one partition, from their start; all held messages.
SELECT EXISTS (
    SELECT FROM messages
    WHERE month = :month AND removed_at IS NULL AND received_at < :received_before
        AND changed_at < :changed_before
) OR EXISTS (
    SELECT FROM messages AS m
    WHERE m.month = :month AND m.removed_at < :removed_before AND m.changed_at < :changed_before
        AND NOT EXISTS (SELECT FROM holds AS h WHERE {hold_covers})
);

-- name: drop_detached_month
-- Drops the detached table of a month. False when it has messages, and was attached again.
SELECT drop_detached_month(:month);
