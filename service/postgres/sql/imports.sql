-- Records of other systems, stored under ids that are derived from the source, so that a second import finds
-- them.

-- name: import_message
-- Stores a message of an import, unless its id is stored: locks the box's counts row, inserts, counts, appends
-- message.new. The limit of the box does not apply: the source has accepted the message. A message with
-- :removed_at goes into the trash; it is not counted and causes no event. The same applies to the messages of a
-- box that was deleted at :vmbox_deleted_at and is not emptied yet.
-- Plan: the counts row by primary key, one partition, no scan; with a quota the stored bytes of the account.
WITH locked AS MATERIALIZED (
    SELECT vmbox_id, mailbox, new_count, saved_count, stored_bytes, sequence, deleted_at, emptied_at
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id
    FOR NO KEY UPDATE
), decision AS MATERIALIZED (
    SELECT locked.*,
        CASE
            WHEN deleted_at IS NOT NULL AND (
                emptied_at IS NOT NULL OR deleted_at IS DISTINCT FROM :vmbox_deleted_at::timestamptz
            ) THEN 'vmbox_not_found'
            WHEN deleted_at IS NULL AND :max_stored_bytes::bigint IS NOT NULL
                AND {stored_bytes} + :audio_size::bigint > :max_stored_bytes THEN 'quota_exceeded'
            ELSE 'done'
        END AS outcome
    FROM locked
), message AS (
    INSERT INTO messages (
        account_id, month, id, vmbox_id, folder, counted, received_at, length_ms,
        caller_id_number, caller_id_name, call_id, from_uri, to_uri,
        audio_key, audio_type, audio_size, audio_sha256, transcription, forwarded,
        changed_at, removed_at
    )
    SELECT :account_id, :month, :message_id, :vmbox_id, :folder, :counted, :received_at, :length_ms,
        :caller_id_number, :caller_id_name, :call_id, :from_uri,
        coalesce(:to_uri, mailbox || '@' || :realm::text),
        :audio_key, :audio_type, :audio_size, :audio_sha256, :transcription, :forwarded,
        coalesce(:changed_at::timestamptz, now()), :removed_at
    FROM decision
    WHERE outcome = 'done'
    ON CONFLICT DO NOTHING
    RETURNING *
), added_words AS (
    INSERT INTO transcription_words (account_id, month, message_id, words)
    SELECT m.account_id, m.month, m.id, :words::json
    FROM message AS m
    WHERE :words IS NOT NULL
    ON CONFLICT (account_id, month, message_id) DO NOTHING
), counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = d.new_count + (m.counted AND m.folder = 'new')::integer,
        saved_count = d.saved_count + (m.counted AND m.folder = 'saved')::integer,
        stored_bytes = d.stored_bytes + m.audio_size,
        sequence = d.sequence + 1
    FROM decision AS d CROSS JOIN message AS m
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND m.removed_at IS NULL
        AND d.deleted_at IS NULL
    RETURNING c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count,
        c.stored_bytes - old.stored_bytes AS bytes_change
), event AS (
    SELECT c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, m.month, m.id AS message_id,
        'message.new' AS type,
        jsonb_build_object(
            'message', {event_message}, 'origin', jsonb_build_object('reason', 'imported')) AS data
    FROM counts AS c CROSS JOIN message AS m
), {count_bytes}, {append_event}
SELECT CASE WHEN d.outcome = 'done' AND m.id IS NULL THEN 'exists' ELSE d.outcome END AS outcome
FROM decision AS d LEFT JOIN message AS m ON true;

-- name: is_account_known
-- True when an account has the id, deleted or not.
SELECT EXISTS (SELECT FROM accounts WHERE account_id = :account_id);

-- name: is_vmbox_known
-- True when a box of the account has the id, deleted or not.
SELECT EXISTS (SELECT FROM vmboxes WHERE account_id = :account_id AND vmbox_id = :vmbox_id);

-- name: import_deleted_vmbox
-- Creates a box in the trash of its account, without an event, unless its id is known. Its numbers and greetings
-- stay free until it is restored.
WITH vmbox AS (
    INSERT INTO vmboxes (account_id, vmbox_id, name, document, pin_sealed, deleted_at)
    VALUES (:account_id, :vmbox_id, :name, :document, :pin_sealed, :deleted_at)
    ON CONFLICT DO NOTHING
    RETURNING vmbox_id, deleted_at
)
INSERT INTO vmbox_counts (account_id, vmbox_id, mailbox, max_message_count, deleted_at)
SELECT :account_id, vmbox_id, :mailbox, :max_message_count, deleted_at FROM vmbox;

-- name: is_vmbox_in_trash
-- True when a box was deleted at :deleted_at and is not emptied yet.
SELECT EXISTS (
    SELECT FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND deleted_at = :deleted_at
        AND emptied_at IS NULL
);

-- name: find_vmbox_by_numbers
-- The box that has one of :numbers, the lowest id if there are several.
-- Plan: each number by primary key.
SELECT vmbox_id
FROM vmbox_numbers
WHERE account_id = :account_id AND number = ANY(:numbers::text[])
ORDER BY vmbox_id
LIMIT 1;

-- name: find_user_by_name
-- The user of the account that has the name.
-- Plan: one row by the unique index on names.
SELECT user_id
FROM users
WHERE account_id = :account_id AND lower(username) = lower(:username::text)
LIMIT 1;
