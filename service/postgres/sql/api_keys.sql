-- name: insert_api_key
-- Creates an API key unless the account has :max_keys. Concurrent requests may exceed that by a few.
INSERT INTO api_keys AS k (account_id, key_id, lookup, name, scopes, vmbox_ids, expires_at)
SELECT :account_id, :key_id, :lookup, :name, :scopes, :vmbox_ids, :expires_at
WHERE (
    SELECT count(*) FROM api_keys AS o WHERE o.account_id = :account_id AND o.revoked_at IS NULL
) < :max_keys::bigint
RETURNING k.*;

-- name: get_api_key
-- One API key that is not revoked.
SELECT k.* FROM api_keys AS k
WHERE k.account_id = :account_id AND k.key_id = :key_id AND k.revoked_at IS NULL;

-- name: find_api_key
-- The API key with a keyed hash, unless it is revoked or expired.
SELECT k.* FROM api_keys AS k
WHERE k.lookup = :lookup AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());

-- name: list_api_keys
-- A page of the API keys of an account, by name.
-- Plan: api_keys_by_name in order, stops when the page is full.
SELECT k.* FROM api_keys AS k
WHERE k.account_id = :account_id AND k.revoked_at IS NULL
    AND (k.name, k.key_id) >= (:start_name, :start_id::uuid)
ORDER BY k.name, k.key_id
LIMIT :limit;

-- name: list_api_keys_descending
-- As list_api_keys in reverse order. A null :start_name starts at the last name.
SELECT k.* FROM api_keys AS k
WHERE k.account_id = :account_id AND k.revoked_at IS NULL
    AND (:start_name::text IS NULL OR (k.name, k.key_id) <= (:start_name, :start_id::uuid))
ORDER BY k.name DESC, k.key_id DESC
LIMIT :limit;

-- name: revoke_api_key
-- Revokes an API key. The row stays until all processes have read the revocation.
UPDATE api_keys AS k SET revoked_at = now()
WHERE k.account_id = :account_id AND k.key_id = :key_id AND k.revoked_at IS NULL
RETURNING k.*;

-- name: revoke_api_keys_of_account
-- Revokes all API keys of an account.
UPDATE api_keys AS k SET revoked_at = now()
WHERE k.account_id = :account_id AND k.revoked_at IS NULL;

-- name: record_api_key_use
-- Sets the time of the last use, at most once a minute.
UPDATE api_keys AS k SET last_used_at = now()
WHERE k.account_id = :account_id AND k.key_id = :key_id
    AND (k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute');

-- name: list_revoked_api_keys
-- Up to :limit API keys that were revoked since :since.
SELECT key_id
FROM api_keys
WHERE revoked_at >= least(:since::timestamptz, now()) - :overlap::interval
ORDER BY revoked_at
LIMIT :limit;
