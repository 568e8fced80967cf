-- name: list_account_tables
-- The tables that have rows of an account, except those of :kept.
-- `rows`, `digest`, `erase` and `audio` are statements about the rows of the account $1; `audio` is null for a table
-- without audio. A digest is equal if both databases have the same rows.
SELECT t.name, t.columns,
    format('SELECT %s FROM %I WHERE account_id = $1', t.list, t.name) AS rows,
    format(
        'SELECT count(*) || '':'' || coalesce(sum(hashtextextended(r::text, 0)), 0) '
        'FROM (SELECT %s FROM %I WHERE account_id = $1) AS r', t.list, t.name
    ) AS digest,
    format('DELETE FROM %I WHERE account_id = $1', t.name) AS erase,
    CASE WHEN t.columns @> ARRAY['audio_key', 'audio_type', 'audio_size'] THEN format(
        'SELECT audio_key, audio_type, audio_size FROM %I WHERE account_id = $1 AND audio_key IS NOT NULL', t.name
    ) END AS audio
FROM (
    SELECT c.relname::text AS name, array_agg(a.attname::text ORDER BY a.attname) AS columns,
        string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname) AS list
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        AND c.relname <> ALL(:kept::text[])
    GROUP BY c.relname
) AS t
WHERE 'account_id' = ANY(t.columns)
ORDER BY t.name;

-- name: list_accounts_of_move
-- An account and all accounts below it, parents first, as rows of the table in JSON.
-- Plan: accounts_by_ancestor.
SELECT a.account_id, a.move_state, a.moved_to, to_jsonb(a) AS content
FROM accounts AS a
WHERE (a.account_id = :account_id OR a.ancestors @> ARRAY[:account_id::uuid]) AND a.deleted_at IS NULL
ORDER BY cardinality(a.ancestors), a.account_id;

-- name: get_new_ancestors
-- The ancestors of accounts below :account_id; of accounts below the root, if it is null.
SELECT a.ancestors || a.account_id AS ancestors
FROM accounts AS a
WHERE a.deleted_at IS NULL AND a.move_state IS NULL
    AND CASE WHEN :account_id::uuid IS NULL THEN a.parent_id IS NULL ELSE a.account_id = :account_id END;

-- name: list_conflicts_of_move
-- The realms of :realms, and the names of :names, that other accounts have.
SELECT a.realm
FROM accounts AS a
WHERE a.deleted_at IS NULL AND a.move_state IS DISTINCT FROM 'moved'
    AND (a.account_id = ANY(:account_ids::uuid[]) OR lower(a.realm) = ANY(:realms::text[])
        OR casefold(normalize(a.name, NFKC) COLLATE pg_unicode_fast) IN (
            SELECT casefold(normalize(n.name, NFKC) COLLATE pg_unicode_fast) FROM unnest(:names::text[]) AS n (name)
        ))
ORDER BY a.realm
LIMIT 5;

-- name: set_move_state
-- Records the state of a move in all its accounts. Processes apply it within 5 s.
UPDATE accounts
SET move_state = :state, moved_to = :moved_to, revision = revision + 1, modified_at = now()
WHERE account_id = ANY(:account_ids::uuid[]);

-- name: list_months_of_account
-- The months with messages and with audit records of an account.
SELECT 'messages' AS kind, m.month
FROM messages AS m
WHERE m.account_id = :account_id
GROUP BY m.month
UNION ALL
SELECT 'audit', to_char(u.at AT TIME ZONE 'UTC', 'YYYYMM')::integer
FROM audit AS u
WHERE u.account_id = :account_id
GROUP BY 2;

-- name: has_unfinished_work
-- True while events of the accounts are not published, or erasures of them are not finished.
SELECT EXISTS (
    SELECT FROM outbox AS o WHERE o.account_id = ANY(:account_ids::uuid[]) AND o.stream_seq IS NULL
) OR EXISTS (
    SELECT FROM erasures AS e WHERE e.account_id = ANY(:account_ids) AND e.finished_at IS NULL
);

-- name: lock_boxes_of_move
-- Prevents changes of all boxes of the accounts until the transaction ends.
SELECT FROM vmbox_counts
WHERE account_id = ANY(:account_ids::uuid[])
ORDER BY account_id, vmbox_id
FOR UPDATE;

-- name: drop_pending_deliveries
-- Drops the deliveries that the other deployment performs.
UPDATE deliveries
SET status = 'dropped', finished_at = now(), lease_token = NULL, lease_until = NULL
WHERE account_id = ANY(:account_ids::uuid[]) AND status = 'pending';

-- name: append_accounts_moved
-- The last event of each account in this deployment, without a box as account.deleted, which has the sequence 1. An
-- account that moves several times has several such events.
WITH last AS (
    SELECT a.account_id, coalesce((
        SELECT max(o.sequence)
        FROM outbox AS o
        WHERE o.account_id = a.account_id AND o.vmbox_id = '00000000-0000-0000-0000-000000000000'
    ), 1) AS sequence
    FROM unnest(:account_ids::uuid[]) AS a (account_id)
)
INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
SELECT l.account_id, '00000000-0000-0000-0000-000000000000', l.sequence + 1, d.epoch, 'account.moved',
    jsonb_build_object(
        'account_id', hex(l.account_id), 'epoch', d.epoch, 'sequence', l.sequence + 1, 'url', :moved_to::text
    ),
    :traceparent
FROM last AS l CROSS JOIN deployment AS d;

-- name: get_epoch
-- The epoch of the deployment.
SELECT epoch FROM deployment;

-- name: raise_epoch_above
-- Raises the epoch of the deployment above :epoch, unless it is higher.
UPDATE deployment SET epoch = greatest(epoch, :epoch::bigint + 1);

-- name: put_account
-- Writes the row of an account below its new parents, and serves it. Replaces the row of an account that was moved
-- away.
INSERT INTO accounts AS a
SELECT (jsonb_populate_record(NULL::accounts, :content::jsonb || jsonb_build_object(
    'parent_id', :parent_id::uuid, 'ancestors', :ancestors::uuid[], 'move_state', NULL, 'moved_to', NULL
))).*
ON CONFLICT (account_id) DO UPDATE
SET parent_id = excluded.parent_id, ancestors = excluded.ancestors, name = excluded.name, realm = excluded.realm,
    document = excluded.document, auth_epoch = excluded.auth_epoch, api_key_lookup = excluded.api_key_lookup,
    api_key_sealed = excluded.api_key_sealed, revision = greatest(a.revision, excluded.revision) + 1,
    modified_at = now(), has_vmbox_retention = excluded.has_vmbox_retention, move_state = NULL, moved_to = NULL
WHERE a.move_state = 'moved';

-- name: erase_accounts
-- Deletes the rows of accounts.
DELETE FROM accounts WHERE account_id = ANY(:account_ids::uuid[]);

-- name: list_revoked_tokens
-- All revoked tokens that have not expired.
SELECT token_id, expires_at, revoked_at FROM revoked_tokens WHERE expires_at > now();

-- name: put_revoked_tokens
-- Revokes tokens that are revoked in the other deployment.
INSERT INTO revoked_tokens (token_id, expires_at, revoked_at)
SELECT * FROM unnest(:token_ids::uuid[], :expiries::timestamptz[], :times::timestamptz[])
ON CONFLICT DO NOTHING;
