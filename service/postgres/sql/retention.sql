-- Retention rules of accounts and boxes. The days are in their documents.

-- name: list_account_rules
-- The accounts with a rule or a maximum, deleted ones included.
-- Plan: accounts_with_retention.
SELECT account_id,
    retention_days(document, 'message_retention_days') AS message_days,
    retention_days(document, 'deleted_retention_days') AS deleted_days,
    retention_days(document -> 'limits', 'message_retention_days') AS max_days
FROM accounts
WHERE document ?| ARRAY['message_retention_days', 'deleted_retention_days']
    OR document -> 'limits' ? 'message_retention_days';

-- name: list_accounts_in_move
-- The accounts that move to or from another deployment.
-- Plan: accounts_in_move.
SELECT account_id FROM accounts WHERE move_state IS NOT NULL;

-- name: list_vmbox_rules
-- The boxes with a rule, deleted ones included; with :account_id, those of an account.
-- Plan: vmboxes_with_retention.
SELECT account_id, vmbox_id,
    retention_days(document, 'message_retention_days') AS message_days,
    retention_days(document, 'deleted_retention_days') AS deleted_days
FROM vmboxes
WHERE (:account_id::uuid IS NULL OR account_id = :account_id)
    AND document ?| ARRAY['message_retention_days', 'deleted_retention_days'];

-- name: get_vmbox_rule
-- The rule of a box. No row without a rule.
-- Plan: the box by primary key.
SELECT retention_days(document, 'message_retention_days') AS message_days,
    retention_days(document, 'deleted_retention_days') AS deleted_days
FROM vmboxes
WHERE account_id = :account_id AND vmbox_id = :vmbox_id
    AND document ?| ARRAY['message_retention_days', 'deleted_retention_days'];

-- name: mark_vmbox_retention
-- Records that boxes of an account may have rules. No row if that is recorded.
UPDATE accounts
SET has_vmbox_retention = true, modified_at = now()
WHERE account_id = :account_id AND deleted_at IS NULL AND NOT has_vmbox_retention
RETURNING {account_facts_columns};

-- name: count_expired
-- The messages of an account by folder that its boxes would lose: those of the boxes :vmbox_ids, each with its own
-- bounds, and those of all other boxes that are not deleted.
-- Plan: messages_by_account up to the bound, and deleted_messages_by_vmbox of the account; for each of the boxes
-- messages_by_vmbox and deleted_messages_by_vmbox up to its bounds.
WITH box AS MATERIALIZED (
    SELECT b.vmbox_id, b.before, b.deleted_before
    FROM unnest(:vmbox_ids::uuid[], :befores::timestamptz[], :deleted_befores::timestamptz[])
        AS b (vmbox_id, before, deleted_before)
), excluded AS MATERIALIZED (
    SELECT vmbox_id FROM box
    UNION ALL
    SELECT c.vmbox_id
    FROM vmbox_counts AS c
    WHERE c.account_id = :account_id AND c.deleted_at IS NOT NULL AND c.emptied_at IS NULL
), expired AS (
    SELECT m.month, m.id, m.folder
    FROM messages AS m
    WHERE m.account_id = :account_id AND m.removed_at IS NULL AND m.received_at < :before
        AND m.vmbox_id NOT IN (SELECT vmbox_id FROM excluded)
    UNION
    SELECT m.month, m.id, m.folder
    FROM messages AS m
    WHERE m.account_id = :account_id AND m.removed_at IS NULL AND m.folder = 'deleted'
        AND m.changed_at < :deleted_before AND m.vmbox_id NOT IN (SELECT vmbox_id FROM excluded)
    UNION
    SELECT m.month, m.id, m.folder
    FROM box AS b
    JOIN messages AS m
        ON m.account_id = :account_id AND m.vmbox_id = b.vmbox_id AND m.removed_at IS NULL
            AND m.received_at < b.before
    UNION
    SELECT m.month, m.id, m.folder
    FROM box AS b
    JOIN messages AS m
        ON m.account_id = :account_id AND m.vmbox_id = b.vmbox_id AND m.removed_at IS NULL
            AND m.folder = 'deleted' AND m.changed_at < b.deleted_before
)
SELECT folder, count(*) AS number FROM expired GROUP BY folder;
