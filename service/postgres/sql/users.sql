-- name: insert_user
-- A new user, who cannot sign in yet.
INSERT INTO users AS u (account_id, user_id, username, document)
VALUES ($1, $2, $3, $4)
RETURNING u.*, lower(u.username) AS sort_key, false AS has_password;

-- name: update_user
-- Replaces a user's document if nobody has changed it since revision $3.
UPDATE users AS u
SET username = $4, document = $5, revision = u.revision + 1, modified_at = now()
WHERE u.account_id = $1 AND u.user_id = $2 AND u.revision = $3
RETURNING u.*, lower(u.username) AS sort_key,
    EXISTS (
        SELECT FROM user_credentials AS c WHERE c.account_id = $1 AND c.user_id = $2
    ) AS has_password;

-- name: delete_user
-- Deletes a user.
DELETE FROM users AS u
WHERE u.account_id = $1 AND u.user_id = $2
RETURNING u.*, lower(u.username) AS sort_key, false AS has_password;

-- name: get_user
-- One user.
SELECT u.*, lower(u.username) AS sort_key,
    EXISTS (
        SELECT FROM user_credentials AS c WHERE c.account_id = $1 AND c.user_id = $2
    ) AS has_password
FROM users AS u
WHERE u.account_id = $1 AND u.user_id = $2;

-- name: list_users
-- A page of an account's users by name.
-- Plan: username_is_unique in order, stops when the page is full.
SELECT u.*, lower(u.username) AS sort_key, false AS has_password
FROM users AS u
WHERE u.account_id = $1 AND lower(u.username) >= $2
ORDER BY lower(u.username)
LIMIT $3;

-- name: list_users_descending
-- The same, last name first; without a name to begin with it begins at the last one.
SELECT u.*, lower(u.username) AS sort_key, false AS has_password
FROM users AS u
WHERE u.account_id = $1 AND ($2::text IS NULL OR lower(u.username) <= $2)
ORDER BY lower(u.username) DESC
LIMIT $3;

-- name: username_taken
-- Whether another user than $3 has the name, whatever its case.
SELECT EXISTS (
    SELECT FROM users
    WHERE account_id = $1 AND lower(username) = lower($2::text) AND user_id IS DISTINCT FROM $3::uuid
);

-- name: delete_credentials
-- Takes away what a user could sign in with.
DELETE FROM user_credentials WHERE account_id = $1 AND user_id = $2;

-- name: insert_credentials
-- What a user can sign in with: by what it is found, and what proves it.
INSERT INTO user_credentials (account_id, lookup, user_id, proof)
SELECT $1, lookup, $2, proof FROM unnest($3::bytea[], $4::text[]) AS given (lookup, proof);

-- name: find_credentials
-- Whose credentials these are, what proves them, and the epoch of the tokens they give.
SELECT c.user_id, c.proof, e.auth_epoch
FROM user_credentials AS c
JOIN user_epochs AS e ON e.account_id = $1 AND e.user_id = c.user_id
WHERE c.account_id = $1 AND c.lookup = $2;

-- name: insert_epoch
-- The first epoch of a user's tokens.
INSERT INTO user_epochs (account_id, user_id) VALUES ($1, $2) RETURNING auth_epoch;

-- name: raise_epoch
-- Ends every token of a user; the epoch of those to come.
UPDATE user_epochs SET auth_epoch = auth_epoch + 1, changed_at = now()
WHERE account_id = $1 AND user_id = $2
RETURNING auth_epoch;

-- name: user_epoch
-- The epoch of a user's tokens.
SELECT auth_epoch FROM user_epochs WHERE account_id = $1 AND user_id = $2;

-- name: delete_users_of_account
-- Deletes all users of an account and what they sign in with.
WITH credentials AS (
    DELETE FROM user_credentials AS c WHERE c.account_id = $1
), epochs AS (
    DELETE FROM user_epochs AS e WHERE e.account_id = $1
)
DELETE FROM users AS u WHERE u.account_id = $1;
