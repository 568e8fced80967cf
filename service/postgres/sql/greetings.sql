-- name: insert_greeting
-- A new greeting, with or without its audio.
WITH counts AS (
    INSERT INTO media (
        account_id, media_id, name, document, owner_id, audio_key, audio_type, audio_size, audio_sha256
    )
    VALUES (
        :account_id, :media_id, :name, :document, :owner_id, :audio_key, :audio_type, :audio_size,
        :audio_sha256
    )
    RETURNING *, audio_size AS bytes_change
), {count_bytes}
SELECT * FROM counts;

-- name: get_greeting
-- One greeting.
SELECT g.* FROM media AS g WHERE g.account_id = :account_id AND g.media_id = :media_id;

-- name: list_greetings
-- A page of the greetings of an account, by name; with :vmbox_ids only those of these boxes or of :owner_id.
-- Plan: media_by_name in order, stops when the page is full.
SELECT g.*
FROM media AS g
WHERE g.account_id = :account_id AND (g.name, g.media_id) >= (:start_name, :start_id::uuid)
    AND (:vmbox_ids::uuid[] IS NULL OR {greeting_of_boxes})
ORDER BY g.name, g.media_id
LIMIT :limit;

-- name: list_greetings_descending
-- As list_greetings in reverse order. A null :start_name starts at the last name.
SELECT g.*
FROM media AS g
WHERE g.account_id = :account_id
    AND (:start_name::text IS NULL OR (g.name, g.media_id) <= (:start_name, :start_id::uuid))
    AND (:vmbox_ids::uuid[] IS NULL OR {greeting_of_boxes})
ORDER BY g.name DESC, g.media_id DESC
LIMIT :limit;

-- name: update_greeting
-- Replaces the document of a greeting if its revision is still :revision.
UPDATE media AS g
SET name = :name, document = :document, revision = g.revision + 1, modified_at = now()
WHERE g.account_id = :account_id AND g.media_id = :media_id AND g.revision = :revision
RETURNING g.*;

-- name: attach_greeting_audio
-- Sets or replaces the audio of a greeting.
WITH counts AS (
    UPDATE media AS g
    SET audio_key = :audio_key, audio_type = :audio_type, audio_size = :audio_size,
        audio_sha256 = :audio_sha256,
        revision = g.revision + 1, modified_at = now()
    WHERE g.account_id = :account_id AND g.media_id = :media_id
    RETURNING old.audio_key AS replaced_key, g.*, g.audio_size - coalesce(old.audio_size, 0) AS bytes_change
), {count_bytes}
SELECT * FROM counts;

-- name: delete_greeting
-- Deletes a greeting. The foreign key of vmbox_media refuses one that a box uses.
WITH counts AS (
    DELETE FROM media AS g
    WHERE g.account_id = :account_id AND g.media_id = :media_id
    RETURNING g.*, -g.audio_size AS bytes_change
), {count_bytes}
SELECT * FROM counts;

-- name: list_greetings_of_vmbox
-- The settings of a box with each greeting that it uses: one row, without a greeting, if it uses none.
-- Plan: the box, vmbox_media and media by primary key.
SELECT v.document AS settings, g.*
FROM vmboxes AS v
LEFT JOIN vmbox_media AS u ON u.account_id = :account_id AND u.vmbox_id = :vmbox_id
LEFT JOIN media AS g ON g.account_id = :account_id AND g.media_id = u.media_id
WHERE v.account_id = :account_id AND v.vmbox_id = :vmbox_id AND v.deleted_at IS NULL;

-- name: filter_existing_greetings
-- The greetings among :media_ids that exist.
SELECT g.media_id
FROM media AS g
WHERE g.account_id = :account_id AND g.media_id = ANY(:media_ids::uuid[]);

-- name: filter_greetings_of_boxes
-- The greetings among :media_ids that the owner of :vmbox_ids may read: those of :owner_id and of these boxes;
-- with :for_change only those that no other box uses.
-- Plan: each greeting by primary key, vmbox_media_by_media.
SELECT g.media_id
FROM media AS g
WHERE g.account_id = :account_id AND g.media_id = ANY(:media_ids::uuid[]) AND {greeting_of_boxes}
    AND NOT (:for_change::boolean AND EXISTS (
        SELECT FROM vmbox_media AS u
        WHERE u.account_id = :account_id AND u.media_id = g.media_id
            AND u.vmbox_id <> ALL(:vmbox_ids::uuid[])
    ));
