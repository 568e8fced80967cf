-- name: get_recording
-- One message of a box that lives, with the time zones of the box and of its owner: no row without the
-- box, a row of nulls without the message.
-- Plan: all four by primary key, one partition of messages.
SELECT m.*, v.document ->> 'timezone' AS vmbox_timezone, u.document ->> 'timezone' AS owner_timezone
FROM vmbox_counts AS c
JOIN vmboxes AS v ON v.account_id = $1 AND v.vmbox_id = $2
LEFT JOIN users AS u
    ON u.account_id = $1
        AND u.user_id = CASE WHEN v.document ->> 'owner_id' ~ '^[0-9a-f]{32}$'
            THEN (v.document ->> 'owner_id')::uuid END
LEFT JOIN messages AS m
    ON m.account_id = $1 AND m.month = $3 AND m.id = $4 AND m.vmbox_id = $2
        AND num_nulls(m.removed_at) = 1
WHERE c.account_id = $1 AND c.vmbox_id = $2 AND c.deleted_at IS NULL;

-- name: get_timezones
-- The time zones of a box that lives and of its owner; no row without the box.
-- Plan: all three by primary key.
SELECT v.document ->> 'timezone' AS vmbox_timezone, u.document ->> 'timezone' AS owner_timezone
FROM vmbox_counts AS c
JOIN vmboxes AS v ON v.account_id = $1 AND v.vmbox_id = $2
LEFT JOIN users AS u
    ON u.account_id = $1
        AND u.user_id = CASE WHEN v.document ->> 'owner_id' ~ '^[0-9a-f]{32}$'
            THEN (v.document ->> 'owner_id')::uuid END
WHERE c.account_id = $1 AND c.vmbox_id = $2 AND c.deleted_at IS NULL;
