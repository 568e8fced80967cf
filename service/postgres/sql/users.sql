-- name: insert_user
-- Creates a user without credentials.
INSERT INTO users AS u (account_id, user_id, username, document)
VALUES (:account_id, :user_id, :username, :document)
RETURNING u.*, lower(u.username) AS sort_key, false AS has_password;

-- name: update_user
-- Replaces the document of a user if its revision is still :revision.
UPDATE users AS u
SET username = :username, document = :document, revision = u.revision + 1, modified_at = now()
WHERE u.account_id = :account_id AND u.user_id = :user_id AND u.revision = :revision
RETURNING u.*, lower(u.username) AS sort_key,
    EXISTS (
        SELECT FROM user_credentials AS c WHERE c.account_id = :account_id AND c.user_id = :user_id
    ) AS has_password;

-- name: delete_user
-- Deletes a user.
DELETE FROM users AS u
WHERE u.account_id = :account_id AND u.user_id = :user_id
RETURNING u.*, lower(u.username) AS sort_key, false AS has_password;

-- name: get_user
-- One user.
SELECT u.*, lower(u.username) AS sort_key,
    EXISTS (
        SELECT FROM user_credentials AS c WHERE c.account_id = :account_id AND c.user_id = :user_id
    ) AS has_password
FROM users AS u
WHERE u.account_id = :account_id AND u.user_id = :user_id;

-- name: list_users
-- A page of the users of an account, by name; with :user_id only of that user.
-- Plan: username_is_unique in order, stops when the page is full.
SELECT u.*, lower(u.username) AS sort_key, false AS has_password
FROM users AS u
WHERE u.account_id = :account_id AND lower(u.username) >= :start_name
    AND (:user_id::uuid IS NULL OR u.user_id = :user_id)
ORDER BY lower(u.username)
LIMIT :limit;

-- name: list_users_descending
-- As list_users in reverse order. A null :start_name starts at the last name.
SELECT u.*, lower(u.username) AS sort_key, false AS has_password
FROM users AS u
WHERE u.account_id = :account_id AND (:start_name::text IS NULL OR lower(u.username) <= :start_name)
    AND (:user_id::uuid IS NULL OR u.user_id = :user_id)
ORDER BY lower(u.username) DESC
LIMIT :limit;

-- name: count_users
-- The number of users of an account, counted up to :limit. Concurrent requests may exceed a quota by a few.
-- Plan: an index of the users of the account, stops at the limit.
SELECT count(*) FROM (
    SELECT FROM users AS u WHERE u.account_id = :account_id LIMIT :limit
) AS counted;

-- name: is_username_taken
-- True when another user than :except_user_id has the name, compared without case.
SELECT EXISTS (
    SELECT FROM users
    WHERE account_id = :account_id AND lower(username) = lower(:username::text)
        AND user_id IS DISTINCT FROM :except_user_id::uuid
);

-- name: delete_credentials
-- Deletes all credentials of a user.
DELETE FROM user_credentials WHERE account_id = :account_id AND user_id = :user_id;

-- name: insert_credentials
-- Adds credentials of a user: for each the keyed hash for the look-up and the argon2id hash.
INSERT INTO user_credentials (account_id, lookup, user_id, proof)
SELECT :account_id, lookup, :user_id, proof
FROM unnest(:lookups::bytea[], :proofs::text[]) AS c (lookup, proof);

-- name: find_credentials
-- The user of credentials, their argon2id hash, and the token epoch of the user.
SELECT c.user_id, c.proof, e.auth_epoch
FROM user_credentials AS c
JOIN user_epochs AS e ON e.account_id = :account_id AND e.user_id = c.user_id
WHERE c.account_id = :account_id AND c.lookup = :lookup;

-- name: insert_epoch
-- Creates the token epoch of a user.
INSERT INTO user_epochs (account_id, user_id) VALUES (:account_id, :user_id) RETURNING auth_epoch;

-- name: raise_epoch
-- Invalidates all tokens of a user and returns the new epoch.
UPDATE user_epochs SET auth_epoch = auth_epoch + 1, changed_at = now()
WHERE account_id = :account_id AND user_id = :user_id
RETURNING auth_epoch;

-- name: get_user_epoch
-- The token epoch of a user.
SELECT auth_epoch FROM user_epochs WHERE account_id = :account_id AND user_id = :user_id;

-- name: get_user_rights
-- The `priv_level` of a user, null when it has none, and up to :limit boxes that it owns.
-- Plan: the user by primary key, vmboxes_by_owner.
SELECT
    (
        SELECT u.document ->> 'priv_level' FROM users AS u
        WHERE u.account_id = :account_id AND u.user_id = :user_id
    ) AS priv_level,
    ARRAY(
        SELECT v.vmbox_id FROM vmboxes AS v
        WHERE v.account_id = :account_id AND v.document ->> 'owner_id' = hex(:user_id)
            AND v.deleted_at IS NULL
        LIMIT :limit
    ) AS vmbox_ids;

-- name: delete_users_of_account
-- Deletes all users of an account with their credentials and epochs.
WITH credentials AS (
    DELETE FROM user_credentials AS c WHERE c.account_id = :account_id
), epochs AS (
    DELETE FROM user_epochs AS e WHERE e.account_id = :account_id
)
DELETE FROM users AS u WHERE u.account_id = :account_id;
