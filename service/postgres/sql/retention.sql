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
