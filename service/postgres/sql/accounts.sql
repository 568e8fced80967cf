-- name: insert_root
-- The one account without a parent, unless there is one already. No conflict target: of two that
-- insert the same root at once, the second may meet the first in any unique index.
INSERT INTO accounts (account_id, ancestors, name, realm, document, api_key_lookup, api_key_sealed)
VALUES ($1, '{}', $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING;

-- name: insert_child
-- An account below $2, which is locked so that it cannot be deleted meanwhile; no row without it.
INSERT INTO accounts (
    account_id, parent_id, ancestors, name, realm, document, api_key_lookup, api_key_sealed
)
SELECT $1, parent.account_id, parent.ancestors || parent.account_id, $3, $4, $5, $6, $7
FROM accounts AS parent
WHERE parent.account_id = $2 AND parent.deleted_at IS NULL
FOR SHARE
RETURNING account_id;

-- name: name_and_realm_taken
-- Whether each belongs to an account that lives; null asks nothing. Two look-ups by unique index.
SELECT
    EXISTS (
        SELECT FROM accounts WHERE lower(name) = lower($1::text) AND deleted_at IS NULL
    ) AS name,
    EXISTS (
        SELECT FROM accounts WHERE lower(realm) = lower($2::text) AND deleted_at IS NULL
    ) AS realm;

-- name: read_account
-- A whole account.
SELECT account_id, parent_id, ancestors, name, realm, auth_epoch, revision, document,
    created_at, modified_at
FROM accounts
WHERE account_id = $1 AND deleted_at IS NULL;

-- name: root_id
-- The one account without a parent.
SELECT account_id FROM accounts WHERE parent_id IS NULL AND deleted_at IS NULL;

-- name: account_facts
-- What requests need of an account.
SELECT account_id, parent_id, ancestors, name, realm, auth_epoch, revision,
    document -> 'max_message_count' AS max_message_count, document ->> 'wire_profile' AS wire_profile,
    document ->> 'timezone' AS timezone
FROM accounts
WHERE account_id = $1 AND deleted_at IS NULL;

-- name: facts_by_api_key
-- The account that an API key belongs to.
SELECT account_id, parent_id, ancestors, name, realm, auth_epoch, revision,
    document -> 'max_message_count' AS max_message_count, document ->> 'wire_profile' AS wire_profile,
    document ->> 'timezone' AS timezone
FROM accounts
WHERE api_key_lookup = $1 AND deleted_at IS NULL;

-- name: sealed_api_key
-- The API key of an account, sealed.
SELECT api_key_sealed FROM accounts WHERE account_id = $1 AND deleted_at IS NULL;

-- name: replace_api_key
-- Another API key. The raised epoch ends every token of the account.
UPDATE accounts
SET api_key_lookup = $2, api_key_sealed = $3, auth_epoch = auth_epoch + 1,
    revision = revision + 1, modified_at = now()
WHERE account_id = $1 AND deleted_at IS NULL
RETURNING account_id, parent_id, ancestors, name, realm, auth_epoch, revision,
    document -> 'max_message_count' AS max_message_count, document ->> 'wire_profile' AS wire_profile,
    document ->> 'timezone' AS timezone;

-- name: directory_clock
-- The clock by which changes of the directory are dated.
SELECT now();

-- name: accounts_changed_since
-- Accounts changed after $1, at most $2, deleted ones too. least(): the clock may have gone back.
SELECT account_id, parent_id, ancestors, name, realm, auth_epoch, revision,
    document -> 'max_message_count' AS max_message_count, document ->> 'wire_profile' AS wire_profile,
    document ->> 'timezone' AS timezone,
    deleted_at IS NOT NULL AS deleted
FROM accounts
WHERE modified_at >= least($1::timestamptz, now()) - $3::interval
ORDER BY modified_at
LIMIT $2;

-- name: tokens_revoked_since
-- Tokens revoked after $1, at most $2.
SELECT token_id
FROM revoked_tokens
WHERE revoked_at >= least($1::timestamptz, now()) - $3::interval
ORDER BY revoked_at
LIMIT $2;

-- name: revoke_token
-- Notes a token as revoked; the row is of no use once the token has expired.
INSERT INTO revoked_tokens (token_id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: is_revoked
-- Whether a token was revoked.
SELECT EXISTS (SELECT FROM revoked_tokens WHERE token_id = $1);
