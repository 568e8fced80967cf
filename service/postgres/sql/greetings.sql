-- name: insert_greeting
-- A new greeting, with or without its audio.
INSERT INTO media (
    account_id, media_id, name, document, audio_key, audio_type, audio_size, audio_sha256
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING *;

-- name: get_greeting
-- One greeting.
SELECT g.* FROM media AS g WHERE g.account_id = $1 AND g.media_id = $2;

-- name: list_greetings
-- A page of an account's greetings by name.
-- Plan: media_by_name in order, stops when the page is full.
SELECT g.*
FROM media AS g
WHERE g.account_id = $1 AND (g.name, g.media_id) >= ($2, $3::uuid)
ORDER BY g.name, g.media_id
LIMIT $4;

-- name: list_greetings_descending
-- A page of an account's greetings, last name first; without a name it begins at the last one.
SELECT g.*
FROM media AS g
WHERE g.account_id = $1 AND ($2::text IS NULL OR (g.name, g.media_id) <= ($2, $3::uuid))
ORDER BY g.name DESC, g.media_id DESC
LIMIT $4;

-- name: update_greeting
-- Replaces a greeting's document if nobody has changed it since revision $3.
UPDATE media AS g
SET name = $4, document = $5, revision = g.revision + 1, modified_at = now()
WHERE g.account_id = $1 AND g.media_id = $2 AND g.revision = $3
RETURNING g.*;

-- name: attach_greeting_audio
-- Gives a greeting its audio, or other audio in place of what it has.
UPDATE media AS g
SET audio_key = $3, audio_type = $4, audio_size = $5, audio_sha256 = $6,
    revision = g.revision + 1, modified_at = now()
WHERE g.account_id = $1 AND g.media_id = $2
RETURNING old.audio_key AS replaced_key, g.*;

-- name: delete_greeting
-- Deletes a greeting that no box names.
DELETE FROM media AS g WHERE g.account_id = $1 AND g.media_id = $2 RETURNING g.*;

-- name: known_greetings
-- Those of the greetings that are there.
SELECT g.media_id FROM media AS g WHERE g.account_id = $1 AND g.media_id = ANY($2::uuid[]);
