-- The trash of an account: deleted boxes that can be restored until the keeper empties them.

-- The deleted boxes of an account by the time of their deletion. A box that is being emptied has the time 1970.
-- squawk-ignore require-concurrent-index-creation -- the index contains only deleted boxes
CREATE INDEX boxes_in_trash ON vmbox_counts (account_id, deleted_at, vmbox_id)
    WHERE deleted_at IS NOT NULL AND emptied_at IS NULL;
-- squawk-ignore require-concurrent-index-creation -- the index contains only deleted boxes
CREATE INDEX boxes_to_empty_by_age ON vmbox_counts (deleted_at)
    WHERE deleted_at IS NOT NULL AND emptied_at IS NULL;
