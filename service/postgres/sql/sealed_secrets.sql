-- name: count_sealed_api_keys
-- The numbers of API keys that one key has encrypted, and of all others. Deleted rows count too.
-- Reads the table once; an operator runs it.
SELECT count(*) FILTER (WHERE substring(api_key_sealed FROM 1 FOR octet_length(:prefix::bytea)) = :prefix) AS by_key,
    count(*) FILTER (WHERE substring(api_key_sealed FROM 1 FOR octet_length(:prefix)) <> :prefix) AS by_others
FROM accounts;

-- name: count_sealed_pins
-- The numbers of PINs that one key has encrypted, and of all others. Deleted rows count too.
-- Reads the table once; an operator runs it.
SELECT count(*) FILTER (WHERE substring(pin_sealed FROM 1 FOR octet_length(:prefix::bytea)) = :prefix) AS by_key,
    count(*) FILTER (WHERE substring(pin_sealed FROM 1 FOR octet_length(:prefix)) <> :prefix) AS by_others
FROM vmboxes
WHERE pin_sealed IS NOT NULL;

-- name: count_sealed_webhook_secrets
-- The numbers of secrets of webhooks that one key has encrypted, and of all others. Deleted rows count too.
-- Reads the table once; an operator runs it.
SELECT count(*) FILTER (WHERE substring(secret FROM 1 FOR octet_length(:prefix::bytea)) = :prefix) AS by_key,
    count(*) FILTER (WHERE substring(secret FROM 1 FOR octet_length(:prefix)) <> :prefix) AS by_others
FROM webhooks;

-- name: list_api_keys_to_reseal
-- API keys after an account that another key has encrypted, in the order of the primary key.
SELECT account_id, account_id AS row_id, api_key_sealed AS sealed
FROM accounts
WHERE account_id > :after_account AND :after_row::uuid IS NOT NULL
    AND substring(api_key_sealed FROM 1 FOR octet_length(:prefix::bytea)) <> :prefix
ORDER BY account_id
LIMIT :max_rows;

-- name: list_pins_to_reseal
-- PINs after a mailbox that another key has encrypted, in the order of the primary key.
SELECT account_id, vmbox_id AS row_id, pin_sealed AS sealed
FROM vmboxes
WHERE (account_id, vmbox_id) > (:after_account, :after_row) AND pin_sealed IS NOT NULL
    AND substring(pin_sealed FROM 1 FOR octet_length(:prefix::bytea)) <> :prefix
ORDER BY account_id, vmbox_id
LIMIT :max_rows;

-- name: list_webhook_secrets_to_reseal
-- Secrets after a webhook that another key has encrypted, in the order of the primary key.
SELECT account_id, webhook_id AS row_id, secret AS sealed
FROM webhooks
WHERE (account_id, webhook_id) > (:after_account, :after_row)
    AND substring(secret FROM 1 FOR octet_length(:prefix::bytea)) <> :prefix
ORDER BY account_id, webhook_id
LIMIT :max_rows;

-- name: replace_sealed_api_keys
-- Replaces encrypted API keys that have not changed since they were read. The key itself stays the same, so
-- neither the revision nor the epoch changes.
UPDATE accounts AS t
SET api_key_sealed = r.new
FROM unnest(:account_ids::uuid[], :row_ids::uuid[], :old::bytea[], :new::bytea[])
    AS r (account_id, row_id, old, new)
WHERE t.account_id = r.account_id AND t.api_key_sealed = r.old;

-- name: replace_sealed_pins
-- Replaces encrypted PINs that have not changed since they were read.
UPDATE vmboxes AS t
SET pin_sealed = r.new
FROM unnest(:account_ids::uuid[], :row_ids::uuid[], :old::bytea[], :new::bytea[])
    AS r (account_id, row_id, old, new)
WHERE t.account_id = r.account_id AND t.vmbox_id = r.row_id AND t.pin_sealed = r.old;

-- name: replace_sealed_webhook_secrets
-- Replaces encrypted secrets of webhooks that have not changed since they were read.
UPDATE webhooks AS t
SET secret = r.new
FROM unnest(:account_ids::uuid[], :row_ids::uuid[], :old::bytea[], :new::bytea[])
    AS r (account_id, row_id, old, new)
WHERE t.account_id = r.account_id AND t.webhook_id = r.row_id AND t.secret = r.old;
