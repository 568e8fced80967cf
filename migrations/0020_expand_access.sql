-- Access inside an account: the mailboxes that a user owns, and named API keys.

-- squawk-ignore require-concurrent-index-creation -- one row per mailbox, so the lock is short
CREATE INDEX vmboxes_by_owner ON vmboxes (account_id, (document ->> 'owner_id'))
WHERE deleted_at IS NULL;

-- Creator of a greeting, if it has access to its own mailboxes only.
ALTER TABLE media ADD COLUMN owner_id uuid;

-- Directory: a key signs in without the id of its account. A null vmbox_ids means all mailboxes.
CREATE TABLE api_keys (
    account_id uuid NOT NULL,
    key_id uuid NOT NULL,
    lookup bytea NOT NULL,
    name text NOT NULL,
    scopes text[] NOT NULL,
    vmbox_ids uuid[],
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (account_id, key_id)
);
CREATE UNIQUE INDEX api_key_is_unique ON api_keys (lookup);
CREATE INDEX api_keys_by_name ON api_keys (account_id, name, key_id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_by_revocation ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
