-- name: insert_root
-- Creates the account without a parent, unless it exists. No conflict target: when two sessions insert the
-- same root, the second may conflict in any of the unique indexes.
INSERT INTO accounts (account_id, ancestors, name, realm, document, api_key_lookup, api_key_sealed)
VALUES (:account_id, '{}', :name, :realm, :document, :api_key_lookup, :api_key_sealed)
ON CONFLICT DO NOTHING;

-- name: insert_child
-- Creates an account below :parent_id and locks the parent, so that it cannot be deleted meanwhile. No row
-- without the parent.
INSERT INTO accounts (
    account_id, parent_id, ancestors, name, realm, document, api_key_lookup, api_key_sealed
)
SELECT :account_id, parent.account_id, parent.ancestors || parent.account_id, :name, :realm, :document,
    :api_key_lookup, :api_key_sealed
FROM accounts AS parent
WHERE parent.account_id = :parent_id AND parent.deleted_at IS NULL AND parent.move_state IS NULL
FOR SHARE
RETURNING account_id;

-- name: find_name_and_realm_conflicts
-- Two flags: the name, and the realm, belong to another account than :except_account_id. A null name or
-- realm gives false.
-- Plan: look-ups by accounts_by_folded_name and account_realm_is_unique.
SELECT
    EXISTS (
        SELECT FROM accounts
        WHERE casefold(normalize(name, NFKC) COLLATE pg_unicode_fast)
                = casefold(normalize(:name::text, NFKC) COLLATE pg_unicode_fast)
            AND deleted_at IS NULL AND account_id IS DISTINCT FROM :except_account_id::uuid
    ) AS name,
    EXISTS (
        SELECT FROM accounts
        WHERE lower(realm) = lower(:realm::text) AND deleted_at IS NULL
            AND account_id IS DISTINCT FROM :except_account_id::uuid
    ) AS realm;

-- name: read_account
-- One account.
SELECT {account_columns}
FROM accounts
WHERE account_id = :account_id AND deleted_at IS NULL;

-- name: update_account
-- Replaces the document of an account if its revision is still :revision.
UPDATE accounts
SET name = :name, realm = :realm, document = :document, revision = revision + 1,
    modified_at = now()
WHERE account_id = :account_id AND revision = :revision AND deleted_at IS NULL
RETURNING {account_columns};

-- name: list_children
-- A page of the children of an account, by name.
-- Plan: children_by_name in order, stops when the page is full.
SELECT {account_columns}
FROM accounts
WHERE parent_id = :account_id AND deleted_at IS NULL
    AND (name, account_id) >= (:start_name, :start_id::uuid)
ORDER BY name, account_id
LIMIT :limit;

-- name: list_children_descending
-- As list_children in reverse order. A null :start_name starts at the last name.
SELECT {account_columns}
FROM accounts
WHERE parent_id = :account_id AND deleted_at IS NULL
    AND (:start_name::text IS NULL OR (name, account_id) <= (:start_name, :start_id::uuid))
ORDER BY name DESC, account_id DESC
LIMIT :limit;

-- name: list_descendants
-- A page of all accounts below an account, by name.
-- Plan: accounts_by_ancestor and a sort, or, near the root, accounts_by_name in order with a filter.
SELECT {account_columns}
FROM accounts
WHERE ancestors @> ARRAY[:account_id::uuid] AND deleted_at IS NULL
    AND (name, account_id) >= (:start_name, :start_id::uuid)
ORDER BY name, account_id
LIMIT :limit;

-- name: list_descendants_descending
-- As list_descendants in reverse order. A null :start_name starts at the last name.
SELECT {account_columns}
FROM accounts
WHERE ancestors @> ARRAY[:account_id::uuid] AND deleted_at IS NULL
    AND (:start_name::text IS NULL OR (name, account_id) <= (:start_name, :start_id::uuid))
ORDER BY name DESC, account_id DESC
LIMIT :limit;

-- name: lock_account_for_share
-- Prevents the deletion of an account until the transaction ends. No row when it was deleted.
SELECT account_id
FROM accounts
WHERE account_id = :account_id AND deleted_at IS NULL
FOR KEY SHARE;

-- name: lock_account_for_update
-- Locks an account before its deletion: nothing can be added to it or below it until the transaction ends.
SELECT {account_columns}
FROM accounts
WHERE account_id = :account_id AND deleted_at IS NULL
FOR UPDATE;

-- name: has_children
-- True when an account has children. The caller must hold the lock, so that no child is being created.
SELECT EXISTS (SELECT FROM accounts WHERE parent_id = :account_id AND deleted_at IS NULL);

-- name: set_statement_timeout
-- Sets the statement timeout for the rest of this transaction.
SELECT set_config('statement_timeout', :duration, true);

-- name: mark_account_deleted
-- Marks an account as deleted. Sign-in and requests fail from then on; its name and realm are free.
UPDATE accounts
SET deleted_at = now(), auth_epoch = auth_epoch + 1, revision = revision + 1, modified_at = now()
WHERE account_id = :account_id;

-- name: append_account_deleted
-- The only event without a box, so it does not use append_event. Its sequence is always 1.
INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
SELECT :account_id, '00000000-0000-0000-0000-000000000000', 1, d.epoch, 'account.deleted',
    jsonb_build_object('account_id', hex(:account_id), 'epoch', d.epoch, 'sequence', 1),
    :traceparent
FROM deployment AS d;

-- name: lock_boxes_of_account
-- Locks all boxes of an account in id order, as every statement that locks two boxes does. The next
-- statements see all earlier changes of them.
SELECT FROM vmbox_counts WHERE account_id = :account_id ORDER BY vmbox_id FOR NO KEY UPDATE;

-- name: delete_boxes_of_account
-- Deletes all boxes of a locked account as delete_vmbox does, but without events: account.deleted covers
-- them. The keeper empties and purges the boxes.
WITH counts AS (
    UPDATE vmbox_counts AS c
    SET deleted_at = now(), new_count = 0, saved_count = 0, pending_count = 0, stored_bytes = 0
    WHERE c.account_id = :account_id AND c.deleted_at IS NULL
), numbers AS (
    DELETE FROM vmbox_numbers AS n WHERE n.account_id = :account_id
), greetings AS (
    DELETE FROM vmbox_media AS g WHERE g.account_id = :account_id
), bytes AS (
    DELETE FROM account_bytes AS b WHERE b.account_id = :account_id
)
UPDATE vmboxes AS v
SET deleted_at = now(), modified_at = now(), revision = v.revision + 1
WHERE v.account_id = :account_id AND v.deleted_at IS NULL;

-- name: delete_greetings_of_account
-- Deletes all greetings of an account, after its boxes. The keeper deletes their audio as orphans.
DELETE FROM media AS g WHERE g.account_id = :account_id;

-- name: get_stored_bytes
-- The bytes of all messages and greetings of an account.
-- Plan: at most 64 rows of the primary key.
SELECT {stored_bytes}::bigint;

-- name: get_root_id
-- The one account without a parent.
SELECT account_id FROM accounts WHERE parent_id IS NULL AND deleted_at IS NULL;

-- name: get_account_facts
-- The part of an account that requests need.
SELECT {account_facts_columns}
FROM accounts
WHERE account_id = :account_id AND deleted_at IS NULL;

-- name: find_facts_by_api_key
-- The account of an API key.
SELECT {account_facts_columns}
FROM accounts
WHERE api_key_lookup = :api_key_lookup AND deleted_at IS NULL;

-- name: find_facts_by_name
-- The account of a name, compared without case.
SELECT {account_facts_columns}
FROM accounts
WHERE lower(name) = lower(:name::text) AND deleted_at IS NULL;

-- name: find_facts_by_realm
-- The account of a realm, compared without case.
SELECT {account_facts_columns}
FROM accounts
WHERE lower(realm) = lower(:realm::text) AND deleted_at IS NULL;

-- name: get_sealed_api_key
-- The encrypted API key of an account.
SELECT api_key_sealed FROM accounts WHERE account_id = :account_id AND deleted_at IS NULL;

-- name: replace_api_key
-- Replaces the API key. The raised epoch invalidates all tokens of the account.
UPDATE accounts
SET api_key_lookup = :api_key_lookup, api_key_sealed = :api_key_sealed, auth_epoch = auth_epoch + 1,
    revision = revision + 1, modified_at = now()
WHERE account_id = :account_id AND deleted_at IS NULL
RETURNING {account_facts_columns};

-- name: get_directory_time
-- The clock that gives changes of the directory their time.
SELECT now();

-- name: list_changed_accounts
-- Up to :limit accounts that changed since :since, deleted ones included. least(): the clock may have been
-- set back.
SELECT {account_facts_columns},
    deleted_at IS NOT NULL AS deleted
FROM accounts
WHERE modified_at >= least(:since::timestamptz, now()) - :overlap::interval
ORDER BY modified_at
LIMIT :limit;

-- name: list_revoked_tokens
-- Up to :limit tokens that were revoked since :since.
SELECT token_id
FROM revoked_tokens
WHERE revoked_at >= least(:since::timestamptz, now()) - :overlap::interval
ORDER BY revoked_at
LIMIT :limit;

-- name: list_changed_user_epochs
-- Up to :limit users whose tokens were invalidated since :since.
SELECT user_id, auth_epoch
FROM user_epochs
WHERE changed_at >= least(:since::timestamptz, now()) - :overlap::interval
ORDER BY changed_at
LIMIT :limit;

-- name: revoke_token
-- Records a token as revoked. The row is needed until the token and its links expire.
INSERT INTO revoked_tokens (token_id, expires_at)
VALUES (:token_id, :expires_at::timestamptz + :link_lifetime::interval)
ON CONFLICT DO NOTHING;

-- name: is_revoked
-- True when a token was revoked.
SELECT EXISTS (SELECT FROM revoked_tokens WHERE token_id = :token_id);
