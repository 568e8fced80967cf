-- Look-ups by id use num_nulls(removed_at) = 1 instead of removed_at IS NULL. With IS NULL the partial
-- indexes would qualify; without fresh statistics (a new account, a new month) the planner prefers them to
-- the primary key and reads a whole month of the account.
-- {messages} is the partition of the month in a pool with generic plans. insert_message names the whole table,
-- because its generic plan also locks only one partition. If that partition is missing, it raises an error.

-- name: insert_message
-- Stores a message: locks the box's counts row, inserts, counts, appends the event. A full box gets no
-- message, only the event vmbox.full, at most once in 10 minutes. With an idempotency key (:claim_key) the
-- message is inserted only if :claim_token still holds the claim; the claim then stores :answer.
-- Plan: the counts row by primary key, one partition, no scan; with a quota the stored bytes of the account.
WITH locked AS MATERIALIZED (
    SELECT mailbox, new_count, saved_count, pending_count, stored_bytes, sequence, full_event_at,
        deleted_at, coalesce(max_message_count, :account_max_message_count::integer) AS max_message_count
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id
    FOR NO KEY UPDATE
), checked AS MATERIALIZED (
    SELECT locked.*,
        CASE
            WHEN deleted_at IS NOT NULL THEN 'vmbox_not_found'
            WHEN max_message_count > 0 AND new_count + saved_count >= max_message_count THEN 'full'
            WHEN :audio_key::text IS NULL AND pending_count >= :max_pending::integer
                THEN 'too_many_pending'
            WHEN :max_stored_bytes::bigint IS NOT NULL
                AND {stored_bytes} + :audio_size::bigint > :max_stored_bytes THEN 'quota_exceeded'
            ELSE 'done'
        END AS outcome
    FROM locked
), decision AS MATERIALIZED (
    SELECT checked.*,
        CASE
            WHEN outcome = 'done' AND :audio_key::text IS NOT NULL THEN 'message.new'
            WHEN outcome = 'full' AND coalesce(full_event_at, '-infinity') < now() - interval '10 min'
                THEN 'vmbox.full'
        END AS event
    FROM checked
), claim AS (
    UPDATE idempotency AS i
    SET answer = :answer::jsonb
        || jsonb_build_object('to_uri', coalesce(:to_uri, d.mailbox || '@' || :realm::text))
    FROM decision AS d
    WHERE d.outcome = 'done' AND i.account_id = :account_id AND i.vmbox_id = :vmbox_id
        AND i.key = :claim_key AND i.token = :claim_token AND i.answer IS NULL
    RETURNING i.key
), message AS (
    INSERT INTO messages (
        account_id, month, id, vmbox_id, folder, counted, received_at, length_ms,
        caller_id_number, caller_id_name, call_id, from_uri, to_uri,
        audio_key, audio_type, audio_size, audio_sha256
    )
    SELECT :account_id, :month, :message_id, :vmbox_id, :folder, :counted, :received_at, :length_ms,
        :caller_id_number, :caller_id_name, :call_id, :from_uri,
        coalesce(:to_uri, mailbox || '@' || :realm::text),
        :audio_key, :audio_type, :audio_size, :audio_sha256
    FROM decision
    WHERE outcome = 'done' AND (:claim_key::text IS NULL OR EXISTS (SELECT FROM claim))
    RETURNING *
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = d.new_count + coalesce(m.counted AND m.folder = 'new', false)::integer,
        saved_count = d.saved_count + coalesce(m.counted AND m.folder = 'saved', false)::integer,
        pending_count = d.pending_count + (m.id IS NOT NULL AND m.audio_key IS NULL)::integer,
        stored_bytes = d.stored_bytes + coalesce(m.audio_size, 0),
        sequence = d.sequence + (d.event IS NOT NULL)::integer,
        full_event_at = CASE d.event WHEN 'vmbox.full' THEN now() ELSE d.full_event_at END
    FROM decision AS d LEFT JOIN message AS m ON true
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id
        AND (m.id IS NOT NULL OR d.event = 'vmbox.full')
    RETURNING c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, d.event,
        d.max_message_count, c.stored_bytes - old.stored_bytes AS bytes_change
), event AS (
    SELECT c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, m.month, m.id AS message_id,
        coalesce(c.event, 'message.new') AS type,
        CASE c.event
            WHEN 'message.new' THEN jsonb_build_object(
                'message', {event_message},
                'origin', jsonb_build_object('reason', 'stored'))
            WHEN 'vmbox.full' THEN jsonb_build_object(
                'max_message_count', c.max_message_count,
                'message_count', c.new_count + c.saved_count)
        END AS data
    FROM counts AS c LEFT JOIN message AS m ON true
), {count_bytes}, {append_event}
SELECT
    CASE WHEN d.outcome = 'done' AND m.id IS NULL THEN 'claim_lost' ELSE d.outcome END AS outcome,
    d.max_message_count, d.new_count + d.saved_count AS message_count,
    :max_stored_bytes AS max_stored_bytes, m.*
FROM decision AS d LEFT JOIN message AS m ON true;

-- name: attach_audio
-- Sets or replaces the audio of a message, unless it is held. A pending message becomes complete: it is counted and gets the
-- event message.new.
-- Plan: the counts row and the message by primary key, one partition; with a quota the stored bytes of the
-- account.
WITH locked AS MATERIALIZED (
    SELECT mailbox, new_count, saved_count, pending_count, stored_bytes, sequence, full_event_at,
        deleted_at, coalesce(max_message_count, :account_max_message_count::integer) AS max_message_count
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id
    FOR NO KEY UPDATE
), message_before AS MATERIALIZED (
    SELECT m.id, m.audio_key, m.audio_size, m.received_at, m.audio_key IS NOT NULL AND {is_held} AS is_held
    FROM locked, {messages} AS m
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1
    FOR NO KEY UPDATE OF m
), checked AS MATERIALIZED (
    SELECT locked.*, b.audio_key, b.audio_size,
        CASE
            WHEN deleted_at IS NOT NULL THEN 'vmbox_not_found'
            WHEN b.id IS NULL THEN 'message_not_found'
            WHEN b.audio_key IS NOT NULL AND b.received_at < :retained_since THEN 'expired'
            WHEN b.is_held THEN 'held'
            WHEN b.audio_key IS NULL AND max_message_count > 0
                AND new_count + saved_count >= max_message_count THEN 'full'
            WHEN :max_stored_bytes::bigint IS NOT NULL
                AND {stored_bytes} + :audio_size::bigint - coalesce(b.audio_size, 0) > :max_stored_bytes
                THEN 'quota_exceeded'
            WHEN b.audio_key IS NOT NULL THEN 'replaced'
            ELSE 'done'
        END AS outcome
    FROM locked LEFT JOIN message_before AS b ON true
), decision AS MATERIALIZED (
    SELECT checked.*,
        CASE
            WHEN outcome = 'done' THEN 'message.new'
            WHEN outcome = 'replaced' THEN 'message.audio_replaced'
            WHEN outcome = 'full' AND coalesce(full_event_at, '-infinity') < now() - interval '10 min'
                THEN 'vmbox.full'
        END AS event
    FROM checked
), message AS (
    UPDATE {messages} AS m
    SET audio_key = :audio_key, audio_type = :audio_type, audio_size = :audio_size,
        audio_sha256 = :audio_sha256,
        -- A transcription and facts belong to the replaced audio.
        transcription = NULL, media = NULL,
        -- 1 ms means that the length was neither given nor measured.
        length_ms = CASE
            WHEN m.length_ms IN (1, :replaced_length_ms::integer, (m.media ->> 'duration_ms')::integer)
                THEN :length_ms
            ELSE m.length_ms
        END,
        counted = CASE d.outcome WHEN 'done' THEN m.received_at >= :retained_since ELSE m.counted END,
        changed_at = now()
    FROM decision AS d
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND d.outcome IN ('done', 'replaced')
    RETURNING m.*
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = d.new_count
            + coalesce(d.outcome = 'done' AND m.counted AND m.folder = 'new', false)::integer,
        saved_count = d.saved_count
            + coalesce(d.outcome = 'done' AND m.counted AND m.folder = 'saved', false)::integer,
        pending_count = d.pending_count - (d.outcome = 'done')::integer,
        stored_bytes = d.stored_bytes + coalesce(m.audio_size - coalesce(d.audio_size, 0), 0),
        sequence = d.sequence + 1,
        full_event_at = CASE d.event WHEN 'vmbox.full' THEN now() ELSE d.full_event_at END
    FROM decision AS d LEFT JOIN message AS m ON true
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND d.event IS NOT NULL
    RETURNING c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, d.event,
        d.max_message_count, c.stored_bytes - old.stored_bytes AS bytes_change
), event AS (
    SELECT c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, m.month, m.id AS message_id,
        c.event AS type,
        CASE c.event
            WHEN 'vmbox.full' THEN jsonb_build_object(
                'max_message_count', c.max_message_count,
                'message_count', c.new_count + c.saved_count)
            ELSE jsonb_build_object('message', {event_message})
        END
        || CASE c.event
            WHEN 'message.new' THEN
                jsonb_build_object('origin', jsonb_build_object('reason', 'stored'))
            ELSE '{}'
        END AS data
    FROM counts AS c LEFT JOIN message AS m ON true
), {count_bytes}, {append_event}
SELECT d.outcome, d.max_message_count, d.new_count + d.saved_count AS message_count,
    :max_stored_bytes AS max_stored_bytes, d.audio_key AS replaced_key, m.*
FROM decision AS d LEFT JOIN message AS m ON true;

-- name: change_folder
-- Changes the folder of a message: locks the box's counts row, writes the message, corrects the counts from
-- the folder in the locked row, appends the event. A message without audio causes no event.
-- Plan: the counts row and the message by primary key, one partition.
WITH locked AS MATERIALIZED (
    SELECT new_count, saved_count, sequence, deleted_at
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id
    FOR NO KEY UPDATE
), message AS (
    UPDATE {messages} AS m
    SET folder = :folder,
        changed_at = CASE m.folder WHEN :folder THEN m.changed_at ELSE now() END
    FROM locked
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1
        AND m.received_at >= :retained_since AND locked.deleted_at IS NULL
    RETURNING old.folder AS folder_before, m.*
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = locked.new_count + CASE WHEN m.counted
            THEN (m.folder = 'new')::integer - (m.folder_before = 'new')::integer ELSE 0 END,
        saved_count = locked.saved_count + CASE WHEN m.counted
            THEN (m.folder = 'saved')::integer - (m.folder_before = 'saved')::integer ELSE 0 END,
        sequence = locked.sequence + 1
    FROM locked, message AS m
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id
        AND m.folder <> m.folder_before AND m.audio_key IS NOT NULL
    RETURNING c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count
), event AS (
    SELECT m.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, m.month, m.id AS message_id,
        'message.folder_changed' AS type,
        CASE WHEN m.audio_key IS NOT NULL THEN jsonb_build_object(
            'message', {event_message},
            'from', m.folder_before,
            'to', m.folder,
            'reason', :reason::text)
        END AS data
    FROM message AS m LEFT JOIN counts AS c ON true
    WHERE m.folder <> m.folder_before
), {append_event}
SELECT
    CASE
        WHEN locked.deleted_at IS NOT NULL THEN 'vmbox_not_found'
        WHEN m.folder = m.folder_before THEN 'unchanged'
        WHEN m.id IS NOT NULL THEN 'done'
        WHEN EXISTS (
            SELECT FROM {messages} AS e
            WHERE e.account_id = :account_id AND e.month = :month AND e.id = :message_id
                AND e.vmbox_id = :vmbox_id AND num_nulls(e.removed_at) = 1
                AND e.received_at < :retained_since
        ) THEN 'expired'
        ELSE 'message_not_found'
    END AS outcome,
    m.*
FROM locked LEFT JOIN message AS m ON true;

-- name: remove_message
-- Removes a message from every list and from the counts. The event contains its last folder.
-- Plan: the counts row and the message by primary key, one partition.
WITH locked AS MATERIALIZED (
    SELECT new_count, saved_count, pending_count, stored_bytes, sequence, deleted_at
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id
    FOR NO KEY UPDATE
), message AS (
    UPDATE {messages} AS m
    SET removed_at = now(), changed_at = now(), counted = false
    FROM locked
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1 AND locked.deleted_at IS NULL
    RETURNING old.counted AS counted_before, m.*
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = locked.new_count - (m.counted_before AND m.folder = 'new')::integer,
        saved_count = locked.saved_count - (m.counted_before AND m.folder = 'saved')::integer,
        pending_count = locked.pending_count - (m.audio_key IS NULL)::integer,
        stored_bytes = locked.stored_bytes - coalesce(m.audio_size, 0),
        sequence = locked.sequence + (m.audio_key IS NOT NULL)::integer
    FROM locked, message AS m
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id
    RETURNING c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count,
        c.stored_bytes - old.stored_bytes AS bytes_change
), event AS (
    SELECT c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, m.month, m.id AS message_id,
        'message.removed' AS type,
        CASE WHEN m.audio_key IS NOT NULL
            THEN jsonb_build_object('message', {event_message}, 'reason', :reason::text)
        END AS data
    FROM counts AS c CROSS JOIN message AS m
), {count_bytes}, {append_event}
SELECT
    CASE
        WHEN locked.deleted_at IS NOT NULL THEN 'vmbox_not_found'
        WHEN m.id IS NULL THEN 'message_not_found'
        ELSE 'done'
    END AS outcome,
    m.*
FROM locked LEFT JOIN message AS m ON true;

-- name: get_message
-- One message of a box that is not deleted. Without the box there is no row. Without the message there is a
-- row of nulls.
-- Plan: both by primary key, one partition.
SELECT m.*
FROM vmbox_counts AS c
LEFT JOIN {messages} AS m
    ON m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND m.vmbox_id = :vmbox_id AND num_nulls(m.removed_at) = 1
WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND c.deleted_at IS NULL;

-- name: get_received_at
-- The time of a message, removed or not, in a box that is not deleted. Rows as in get_message.
-- Plan: both by primary key, one partition.
SELECT m.received_at
FROM vmbox_counts AS c
LEFT JOIN {messages} AS m
    ON m.account_id = :account_id AND m.month = :month AND m.id = :message_id
        AND m.vmbox_id = :vmbox_id
WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND c.deleted_at IS NULL;
