-- The trash: removed messages that can be restored until the keeper purges them.

-- True when the message was moved. Its copy in the other box replaces it, so it cannot be restored.
ALTER TABLE messages ADD COLUMN moved boolean NOT NULL DEFAULT false;

-- The removed messages of a box by the time of their removal. When the partitions are large, create the index
-- on each of them concurrently before this migration, which then only attaches it.
-- squawk-ignore require-concurrent-index-creation -- the index contains only removed messages
CREATE INDEX messages_in_trash ON messages (account_id, vmbox_id, removed_at, month, id)
    WHERE removed_at IS NOT NULL;

-- The keeper finds accounts with their own `trash_days`.
-- squawk-ignore require-concurrent-index-creation -- accounts are few, so the lock is short
CREATE INDEX accounts_with_trash_days ON accounts (account_id) WHERE document ? 'trash_days';
