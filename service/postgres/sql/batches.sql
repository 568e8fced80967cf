-- Look-ups by id use num_nulls(removed_at) = 1, as messages.sql explains, and m.id = ANY(...) beside the
-- join. So rows are found by primary key, whatever join order the planner chooses.

-- name: change_folders
-- Changes the folder of several messages of a box under one lock; see change_folder. Each event has the counts
-- after it. One row per requested message, in order.
-- Plan: the counts row by primary key, the partitions of :distinct_months, rows by primary key.
WITH locked AS MATERIALIZED (
    SELECT vmbox_id, mailbox, new_count, saved_count, sequence, deleted_at
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id
    FOR NO KEY UPDATE
), requested AS MATERIALIZED (
    SELECT r.month, r.id, r.position
    FROM unnest(:months::integer[], :message_ids::uuid[]) WITH ORDINALITY AS r (month, id, position)
), message AS (
    UPDATE messages AS m
    SET folder = :folder,
        changed_at = CASE m.folder WHEN :folder THEN m.changed_at ELSE now() END
    FROM locked, requested AS r
    WHERE m.account_id = :account_id AND m.month = ANY(:distinct_months::integer[])
        AND m.id = ANY(:message_ids::uuid[]) AND m.month = r.month AND m.id = r.id
        AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1
        AND m.received_at >= :retained_since AND locked.deleted_at IS NULL
    RETURNING old.folder AS folder_before, r.position, m.*
), step AS (
    SELECT m.*,
        count(m.audio_key) OVER up_to_here AS step,
        sum(change.in_new) OVER up_to_here AS in_new,
        sum(change.in_saved) OVER up_to_here AS in_saved
    FROM message AS m
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN m.counted
                THEN (m.folder = 'new')::integer - (m.folder_before = 'new')::integer ELSE 0 END,
            CASE WHEN m.counted
                THEN (m.folder = 'saved')::integer - (m.folder_before = 'saved')::integer ELSE 0 END
    ) AS change (in_new, in_saved)
    WHERE m.folder <> m.folder_before
    WINDOW up_to_here AS (ORDER BY m.position ROWS UNBOUNDED PRECEDING)
), total AS (
    SELECT step AS steps, in_new, in_saved FROM step ORDER BY step DESC LIMIT 1
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = locked.new_count + t.in_new,
        saved_count = locked.saved_count + t.in_saved,
        sequence = locked.sequence + t.steps
    FROM locked, total AS t
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND t.steps > 0
), event AS (
    SELECT locked.vmbox_id, locked.mailbox, locked.sequence + m.step AS sequence,
        (locked.new_count + m.in_new)::integer AS new_count,
        (locked.saved_count + m.in_saved)::integer AS saved_count,
        m.month, m.id AS message_id, 'message.folder_changed' AS type,
        CASE WHEN m.audio_key IS NOT NULL THEN jsonb_build_object(
            'message', {event_message},
            'from', m.folder_before,
            'to', m.folder,
            'reason', :reason::text)
        END AS data
    FROM step AS m CROSS JOIN locked
    ORDER BY m.step
), {append_event}
SELECT r.month, r.id,
    CASE
        WHEN locked.deleted_at IS NOT NULL THEN 'vmbox_not_found'
        WHEN m.id IS NOT NULL THEN 'done'
        WHEN EXISTS (
            SELECT FROM messages AS e
            WHERE e.account_id = :account_id AND e.month = ANY(:distinct_months::integer[])
                AND e.month = r.month AND e.id = r.id AND e.vmbox_id = :vmbox_id
                AND num_nulls(e.removed_at) = 1 AND e.received_at < :retained_since
        ) THEN 'expired'
        ELSE 'message_not_found'
    END AS outcome
FROM locked CROSS JOIN requested AS r LEFT JOIN message AS m ON m.position = r.position
ORDER BY r.position;

-- name: remove_messages
-- Removes several messages of a box under one lock; see remove_message. Each event has the counts
-- after it. One row per requested message, in order.
-- Plan: the counts row by primary key, the partitions of :distinct_months, rows by primary key.
WITH locked AS MATERIALIZED (
    SELECT vmbox_id, mailbox, new_count, saved_count, pending_count, stored_bytes, sequence, deleted_at
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id
    FOR NO KEY UPDATE
), requested AS MATERIALIZED (
    SELECT r.month, r.id, r.position
    FROM unnest(:months::integer[], :message_ids::uuid[]) WITH ORDINALITY AS r (month, id, position)
), message AS (
    UPDATE messages AS m
    SET removed_at = now(), changed_at = now(), counted = false
    FROM locked, requested AS r
    WHERE m.account_id = :account_id AND m.month = ANY(:distinct_months::integer[])
        AND m.id = ANY(:message_ids::uuid[]) AND m.month = r.month AND m.id = r.id
        AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1 AND locked.deleted_at IS NULL
        AND (:folder::text IS NULL OR m.folder = :folder)
    RETURNING old.counted AS counted_before, r.position, m.*
), step AS (
    SELECT m.*,
        {removal_steps}
    FROM message AS m
    WINDOW up_to_here AS (ORDER BY m.position ROWS UNBOUNDED PRECEDING)
), {count_removals}, {count_bytes}, {append_event}
SELECT r.month, r.id,
    CASE
        WHEN locked.deleted_at IS NOT NULL THEN 'vmbox_not_found'
        WHEN m.id IS NOT NULL THEN 'done'
        ELSE 'message_not_found'
    END AS outcome
FROM locked CROSS JOIN requested AS r LEFT JOIN message AS m ON m.position = r.position
ORDER BY r.position;

-- name: list_message_ids
-- The ids of up to :limit messages of a box, newest first, of one folder or of all.
-- Plan: an ordered Append over messages_by_vmbox that stops after :limit rows.
SELECT m.month, m.id
FROM messages AS m
WHERE m.account_id = :account_id AND m.vmbox_id = :vmbox_id AND m.removed_at IS NULL
    AND (:folder::text IS NULL OR m.folder = :folder)
ORDER BY m.month DESC, m.received_at DESC, m.id DESC
LIMIT :limit;

-- name: get_messages
-- The existing ones of several messages, in a box that is not deleted.
-- Plan: the partitions of :distinct_months, rows by primary key.
SELECT m.*
FROM vmbox_counts AS c, messages AS m
WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND c.deleted_at IS NULL
    AND m.account_id = :account_id AND m.month = ANY(:distinct_months::integer[])
    AND m.id = ANY(:message_ids::uuid[]) AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1
    AND (m.month, m.id) IN (
        SELECT r.month, r.id FROM unnest(:months::integer[], :message_ids::uuid[]) AS r (month, id)
    );

-- name: filter_existing_vmboxes
-- The boxes among :vmbox_ids that exist and are not deleted.
SELECT vmbox_id
FROM vmbox_counts
WHERE account_id = :account_id AND vmbox_id = ANY(:vmbox_ids::uuid[]) AND deleted_at IS NULL;

-- name: transfer_messages
-- Moves or copies messages to a box under new ids, after their audio was copied to new keys. Both boxes are
-- locked in id order. A message is transferred only if it still has the audio that was copied. Each event
-- carries the counts of its box after it. One row per requested message, in order.
-- Plan: two counts rows by primary key, the partitions of :distinct_months, rows by primary key.
WITH locked AS MATERIALIZED (
    SELECT vmbox_id, mailbox, new_count, saved_count, stored_bytes, sequence
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id IN (:source_id, :target_id) AND deleted_at IS NULL
    ORDER BY vmbox_id
    FOR NO KEY UPDATE
), target AS MATERIALIZED (
    SELECT t.mailbox
    FROM locked AS s, locked AS t
    WHERE s.vmbox_id = :source_id AND t.vmbox_id = :target_id
), requested AS MATERIALIZED (
    SELECT r.month, r.id, r.copied_key, r.new_id, r.new_key, r.position
    FROM unnest(
        :months::integer[], :message_ids::uuid[], :copied_keys::text[], :new_ids::uuid[],
        :new_keys::text[]
    ) WITH ORDINALITY AS r (month, id, copied_key, new_id, new_key, position)
), source AS MATERIALIZED (
    SELECT r.new_id, r.new_key, r.position, r.copied_key, m.*
    FROM target, requested AS r, messages AS m
    WHERE m.account_id = :account_id AND m.month = ANY(:distinct_months::integer[])
        AND m.id = ANY(:message_ids::uuid[]) AND m.month = r.month AND m.id = r.id
        AND m.vmbox_id = :source_id AND num_nulls(m.removed_at) = 1
    FOR NO KEY UPDATE OF m
), accepted AS MATERIALIZED (
    SELECT * FROM source WHERE audio_key = copied_key AND received_at >= :retained_since
), added AS (
    INSERT INTO messages (
        account_id, month, id, vmbox_id, folder, counted, received_at, length_ms,
        caller_id_number, caller_id_name, call_id, from_uri, to_uri,
        audio_key, audio_type, audio_size, audio_sha256, transcription, media, forwarded
    )
    SELECT :account_id, :new_month, s.new_id, :target_id, 'new', true, :now, s.length_ms,
        s.caller_id_number, s.caller_id_name, s.call_id, s.from_uri,
        t.mailbox || '@' || :realm::text,
        s.new_key, s.audio_type, s.audio_size, s.audio_sha256, s.transcription, s.media, s.forwarded
    FROM accepted AS s CROSS JOIN target AS t
    -- A repeated request uses the ids of its first run.
    ON CONFLICT (account_id, month, id) DO NOTHING
    RETURNING *
), transferred AS (
    SELECT s.* FROM accepted AS s JOIN added AS n ON n.id = s.new_id
), copied_words AS (
    INSERT INTO transcription_words (account_id, month, message_id, words)
    SELECT :account_id, :new_month, s.new_id, w.words
    FROM transferred AS s, transcription_words AS w
    WHERE w.account_id = :account_id AND w.month = ANY(:distinct_months::integer[])
        AND w.message_id = ANY(:message_ids::uuid[]) AND w.month = s.month AND w.message_id = s.id
), waveform AS (
    INSERT INTO waveforms (account_id, month, message_id, audio_key, duration_ms, peaks)
    SELECT :account_id, :new_month, s.new_id, s.new_key, w.duration_ms, w.peaks
    FROM transferred AS s
    JOIN waveforms AS w
        ON w.account_id = :account_id AND w.month = s.month AND w.message_id = s.id
            AND w.audio_key = s.audio_key
    ON CONFLICT (account_id, month, message_id) DO NOTHING
), removed AS (
    UPDATE messages AS m
    SET removed_at = now(), changed_at = now(), counted = false, moved = true
    FROM transferred AS s
    WHERE :moved::boolean AND m.account_id = :account_id
        AND m.month = ANY(:distinct_months::integer[]) AND m.id = ANY(:message_ids::uuid[])
        AND m.month = s.month AND m.id = s.id
), change AS (
    SELECT m.position, 0 AS part, :source_id AS vmbox_id, m.month, m.id AS message_id,
        'message.removed' AS type,
        -(m.counted AND m.folder = 'new')::integer AS in_new,
        -(m.counted AND m.folder = 'saved')::integer AS in_saved,
        -m.audio_size AS bytes,
        jsonb_build_object('message', {event_message}, 'reason', 'moved') AS data
    FROM transferred AS m
    WHERE :moved::boolean
    UNION ALL
    SELECT s.position, 1, :target_id, m.month, m.id, 'message.new', 1, 0,
        m.audio_size,
        jsonb_build_object(
            'message', {event_message},
            'origin', jsonb_build_object(
                'reason', CASE WHEN :moved::boolean THEN 'moved' ELSE 'copied' END,
                'vmbox_id', hex(:source_id),
                'media_id', s.month::text || '-' || hex(s.id)))
    FROM transferred AS s JOIN added AS m ON m.id = s.new_id
), step AS (
    SELECT position, part, vmbox_id, month, message_id, type, data,
        row_number() OVER up_to_here AS step,
        sum(in_new) OVER up_to_here AS in_new,
        sum(in_saved) OVER up_to_here AS in_saved
    FROM change
    WINDOW up_to_here AS (PARTITION BY vmbox_id ORDER BY position, part ROWS UNBOUNDED PRECEDING)
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = locked.new_count + t.in_new,
        saved_count = locked.saved_count + t.in_saved,
        stored_bytes = locked.stored_bytes + t.bytes,
        sequence = locked.sequence + t.steps
    FROM locked JOIN (
        SELECT vmbox_id, sum(in_new) AS in_new, sum(in_saved) AS in_saved, sum(bytes) AS bytes,
            count(*) AS steps
        FROM change
        GROUP BY vmbox_id
    ) AS t USING (vmbox_id)
    WHERE c.account_id = :account_id AND c.vmbox_id = locked.vmbox_id
    RETURNING c.stored_bytes - old.stored_bytes AS bytes_change
), event AS (
    SELECT s.vmbox_id, locked.mailbox, locked.sequence + s.step AS sequence,
        (locked.new_count + s.in_new)::integer AS new_count,
        (locked.saved_count + s.in_saved)::integer AS saved_count,
        s.month, s.message_id, s.type, s.data
    FROM step AS s JOIN locked USING (vmbox_id)
    ORDER BY s.position, s.part
), {count_bytes}, {append_event}
SELECT
    CASE
        WHEN n.id IS NOT NULL THEN 'done'
        WHEN NOT EXISTS (SELECT FROM target) THEN 'vmbox_not_found'
        WHEN s.id IS NULL THEN 'message_not_found'
        WHEN s.received_at < :retained_since THEN 'expired'
        ELSE 'conflict'
    END AS outcome
FROM requested AS r
LEFT JOIN source AS s ON s.position = r.position
LEFT JOIN added AS n ON n.id = r.new_id
ORDER BY r.position;

-- name: filter_stored_ids
-- The ids among :message_ids that were ever stored, in any box, removed or not.
-- Plan: one partition, rows by primary key.
SELECT id
FROM messages
WHERE account_id = :account_id AND month = :month AND id = ANY(:message_ids::uuid[]);
