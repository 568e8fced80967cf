-- Users of accounts, what they sign in with, and what lists of accounts are read by.

CREATE TABLE users (
    account_id uuid NOT NULL,
    user_id uuid NOT NULL,
    username text NOT NULL,
    document jsonb NOT NULL,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    modified_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, user_id)
);
CREATE UNIQUE INDEX username_is_unique ON users (account_id, lower(username));

-- A user has one row for each hash of `username:password` that clients may send: found by a keyed
-- hash of it, proved by argon2id over it.
CREATE TABLE user_credentials (
    account_id uuid NOT NULL,
    lookup bytea NOT NULL,
    user_id uuid NOT NULL,
    proof text NOT NULL,
    CONSTRAINT user_credentials_are_unique PRIMARY KEY (account_id, lookup)
);
CREATE INDEX user_credentials_by_user ON user_credentials (account_id, user_id);

-- Directory: a token of a user counts only while it carries the user's epoch. What raises it (another
-- password, the end of the user) is heard by every process; the row outlives the user.
CREATE TABLE user_epochs (
    account_id uuid NOT NULL,
    user_id uuid NOT NULL,
    auth_epoch bigint NOT NULL DEFAULT 1,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, user_id)
);
CREATE INDEX user_epochs_by_change ON user_epochs (changed_at);

-- squawk-ignore require-concurrent-index-creation -- no release has rows in it yet
CREATE INDEX accounts_by_name ON accounts (name, account_id) WHERE deleted_at IS NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX children_by_name ON accounts (parent_id, name, account_id) WHERE deleted_at IS NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX accounts_by_ancestor ON accounts USING gin (ancestors) WHERE deleted_at IS NULL;
