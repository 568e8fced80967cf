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
-- Whether each belongs to an account that lives and is not $3; null asks nothing. Two look-ups by
-- unique index.
SELECT
    EXISTS (
        SELECT FROM accounts
        WHERE lower(name) = lower($1::text) AND deleted_at IS NULL
            AND account_id IS DISTINCT FROM $3::uuid
    ) AS name,
    EXISTS (
        SELECT FROM accounts
        WHERE lower(realm) = lower($2::text) AND deleted_at IS NULL
            AND account_id IS DISTINCT FROM $3::uuid
    ) AS realm;

-- name: read_account
-- A whole account.
SELECT account_id, parent_id, ancestors, name, realm, auth_epoch, revision, document,
    created_at, modified_at
FROM accounts
WHERE account_id = $1 AND deleted_at IS NULL;

-- name: update_account
-- Replaces an account's document if nobody has changed it since revision $2.
UPDATE accounts
SET name = $3, realm = $4, document = $5, revision = revision + 1, modified_at = now()
WHERE account_id = $1 AND revision = $2 AND deleted_at IS NULL
RETURNING account_id, parent_id, ancestors, name, realm, auth_epoch, revision, document,
    created_at, modified_at;

-- name: list_children
-- A page of the accounts right below one, by name.
-- Plan: children_by_name in order, stops when the page is full.
SELECT account_id, parent_id, ancestors, name, realm, auth_epoch, revision, document,
    created_at, modified_at
FROM accounts
WHERE parent_id = $1 AND deleted_at IS NULL AND (name, account_id) >= ($2, $3::uuid)
ORDER BY name, account_id
LIMIT $4;

-- name: list_children_descending
-- The same, last name first; without a name to begin with it begins at the last one.
SELECT account_id, parent_id, ancestors, name, realm, auth_epoch, revision, document,
    created_at, modified_at
FROM accounts
WHERE parent_id = $1 AND deleted_at IS NULL
    AND ($2::text IS NULL OR (name, account_id) <= ($2, $3::uuid))
ORDER BY name DESC, account_id DESC
LIMIT $4;

-- name: list_descendants
-- A page of all accounts below one, by name.
-- Plan: accounts_by_ancestor and a sort, or, near the root, accounts_by_name in order with a filter.
SELECT account_id, parent_id, ancestors, name, realm, auth_epoch, revision, document,
    created_at, modified_at
FROM accounts
WHERE ancestors @> ARRAY[$1::uuid] AND deleted_at IS NULL AND (name, account_id) >= ($2, $3::uuid)
ORDER BY name, account_id
LIMIT $4;

-- name: list_descendants_descending
-- The same, last name first; without a name to begin with it begins at the last one.
SELECT account_id, parent_id, ancestors, name, realm, auth_epoch, revision, document,
    created_at, modified_at
FROM accounts
WHERE ancestors @> ARRAY[$1::uuid] AND deleted_at IS NULL
    AND ($2::text IS NULL OR (name, account_id) <= ($2, $3::uuid))
ORDER BY name DESC, account_id DESC
LIMIT $4;

-- name: hold_account
-- Keeps an account from being deleted until the transaction ends; no row when it was.
SELECT account_id FROM accounts WHERE account_id = $1 AND deleted_at IS NULL FOR KEY SHARE;

-- name: lock_account
-- Holds an account for its deletion: nothing comes below it or into it until the transaction ends.
SELECT account_id, parent_id, ancestors, name, realm, auth_epoch, revision, document,
    created_at, modified_at
FROM accounts
WHERE account_id = $1 AND deleted_at IS NULL
FOR UPDATE;

-- name: has_children
-- Whether there are accounts below one. Asked once it is locked, so that none is on its way.
SELECT EXISTS (SELECT FROM accounts WHERE parent_id = $1 AND deleted_at IS NULL);

-- name: allow_long
-- For the rest of this transaction a statement may take so long.
SELECT set_config('statement_timeout', $1, true);

-- name: mark_account_deleted
-- From here on nobody can sign in to the account or reach it; its name and realm are free.
UPDATE accounts
SET deleted_at = now(), auth_epoch = auth_epoch + 1, revision = revision + 1, modified_at = now()
WHERE account_id = $1;

-- name: append_account_deleted
-- The one event of an account as a whole: its box is none, its sequence begins and ends with 1.
INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
SELECT $1, '00000000-0000-0000-0000-000000000000', 1, d.epoch, 'account.deleted',
    jsonb_build_object('account_id', hex($1), 'epoch', d.epoch, 'sequence', 1), $2
FROM deployment AS d;

-- name: lock_boxes_of_account
-- Holds every box of an account, in id order as whoever holds two boxes does: what follows sees all
-- that others wrote of them.
SELECT FROM vmbox_counts WHERE account_id = $1 ORDER BY vmbox_id FOR NO KEY UPDATE;

-- name: delete_boxes_of_account
-- Deletes all boxes of an account, which must be held, as delete_vmbox does one, but without events:
-- that of the account tells of all. The keeper empties and purges them as it does others.
WITH counts AS (
    UPDATE vmbox_counts AS c
    SET deleted_at = now(), new_count = 0, saved_count = 0, pending_count = 0
    WHERE c.account_id = $1 AND c.deleted_at IS NULL
), numbers AS (
    DELETE FROM vmbox_numbers AS n WHERE n.account_id = $1
), silenced AS (
    DELETE FROM vmbox_media AS g WHERE g.account_id = $1
)
UPDATE vmboxes AS v
SET deleted_at = now(), modified_at = now(), revision = v.revision + 1
WHERE v.account_id = $1 AND v.deleted_at IS NULL;

-- name: delete_greetings_of_account
-- Deletes all greetings of an account, once no box names them; the orphan sweep takes their audio.
DELETE FROM media AS g WHERE g.account_id = $1;

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

-- name: facts_by_name
-- The account of a name, whatever its case.
SELECT account_id, parent_id, ancestors, name, realm, auth_epoch, revision,
    document -> 'max_message_count' AS max_message_count, document ->> 'wire_profile' AS wire_profile,
    document ->> 'timezone' AS timezone
FROM accounts
WHERE lower(name) = lower($1::text) AND deleted_at IS NULL;

-- name: facts_by_realm
-- The account of a realm, whatever its case.
SELECT account_id, parent_id, ancestors, name, realm, auth_epoch, revision,
    document -> 'max_message_count' AS max_message_count, document ->> 'wire_profile' AS wire_profile,
    document ->> 'timezone' AS timezone
FROM accounts
WHERE lower(realm) = lower($1::text) AND deleted_at IS NULL;

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

-- name: user_epochs_changed_since
-- Users whose tokens were ended after $1, at most $2.
SELECT user_id, auth_epoch
FROM user_epochs
WHERE changed_at >= least($1::timestamptz, now()) - $3::interval
ORDER BY changed_at
LIMIT $2;

-- name: revoke_token
-- Notes a token as revoked; the row is of no use once the token has expired.
INSERT INTO revoked_tokens (token_id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: is_revoked
-- Whether a token was revoked.
SELECT EXISTS (SELECT FROM revoked_tokens WHERE token_id = $1);
