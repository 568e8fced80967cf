-- Retention by rule: accounts and boxes have days of their own.

-- The days under a key of a document, or null. Documents of earlier releases may have any value there.
CREATE FUNCTION retention_days(document jsonb, key text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN jsonb_typeof(document -> key) = 'number' AND document ->> key ~ '^[1-9][0-9]{0,4}$'
        THEN least((document ->> key)::integer, 36500)
END;

-- True from the first rule of a box on. Without it, requests do not look for rules of boxes.
ALTER TABLE accounts ADD COLUMN has_vmbox_retention boolean NOT NULL DEFAULT false;

-- The keeper finds the accounts and boxes with rules.
-- squawk-ignore require-concurrent-index-creation -- accounts are few, so the lock is short
CREATE INDEX accounts_with_retention ON accounts (account_id)
    WHERE document ?| ARRAY['message_retention_days', 'deleted_retention_days']
        OR document -> 'limits' ? 'message_retention_days';
-- squawk-ignore require-concurrent-index-creation -- the index contains few boxes
CREATE INDEX vmboxes_with_retention ON vmboxes (account_id, vmbox_id)
    WHERE document ?| ARRAY['message_retention_days', 'deleted_retention_days'];

-- The messages in the folder deleted by the time of their last change. When the partitions are large, create the
-- indexes on each of them concurrently before this migration, which then only attaches them.
-- squawk-ignore require-concurrent-index-creation -- the index contains only messages in the folder deleted
CREATE INDEX deleted_messages_by_age ON messages (changed_at)
    WHERE folder = 'deleted' AND removed_at IS NULL;
-- squawk-ignore require-concurrent-index-creation -- the index contains only messages in the folder deleted
CREATE INDEX deleted_messages_by_vmbox ON messages (account_id, vmbox_id, changed_at)
    WHERE folder = 'deleted' AND removed_at IS NULL;
