-- What the keeper looks for, so that a look costs nothing when nothing is due.

-- When the last message of a deleted box was removed; from then on the box waits for its purge.
ALTER TABLE vmbox_counts ADD COLUMN emptied_at timestamptz;
-- squawk-ignore require-concurrent-index-creation -- no release has rows in it yet
CREATE INDEX boxes_to_empty ON vmbox_counts (account_id, vmbox_id)
    WHERE deleted_at IS NOT NULL AND emptied_at IS NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX boxes_to_purge ON vmbox_counts (emptied_at) WHERE emptied_at IS NOT NULL;

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX messages_by_age ON messages (received_at) WHERE removed_at IS NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX pending_messages_by_age ON messages (created_at)
    WHERE removed_at IS NULL AND audio_key IS NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX messages_to_purge ON messages (removed_at) WHERE removed_at IS NOT NULL;

-- When each step last ran to its end, so that a restart or a second keeper does not run it again.
CREATE TABLE keeper_steps (
    step text PRIMARY KEY,
    finished_at timestamptz NOT NULL
);
