-- name: get_recording
-- One message with the time zones of its box and of the owner of the box. No row without the box, nulls
-- without the message.
-- Plan: all four by primary key, one partition of messages.
SELECT m.*, v.document ->> 'timezone' AS vmbox_timezone, u.document ->> 'timezone' AS owner_timezone
FROM vmbox_counts AS c
JOIN vmboxes AS v ON v.account_id = :account_id AND v.vmbox_id = :vmbox_id
LEFT JOIN users AS u
    ON u.account_id = :account_id
        AND u.user_id = CASE WHEN v.document ->> 'owner_id' ~ '^[0-9a-f]{32}$'
            THEN (v.document ->> 'owner_id')::uuid END
LEFT JOIN {messages} AS m
    ON m.account_id = :account_id AND m.month = :month AND m.id = :message_id AND m.vmbox_id = :vmbox_id
        AND num_nulls(m.removed_at) = 1
WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND c.deleted_at IS NULL;

-- name: get_timezones
-- The time zones of a box and of its owner. No row without the box.
-- Plan: all three by primary key.
SELECT v.document ->> 'timezone' AS vmbox_timezone, u.document ->> 'timezone' AS owner_timezone
FROM vmbox_counts AS c
JOIN vmboxes AS v ON v.account_id = :account_id AND v.vmbox_id = :vmbox_id
LEFT JOIN users AS u
    ON u.account_id = :account_id
        AND u.user_id = CASE WHEN v.document ->> 'owner_id' ~ '^[0-9a-f]{32}$'
            THEN (v.document ->> 'owner_id')::uuid END
WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND c.deleted_at IS NULL;
