-- name: list_account_tables
-- The tables that have rows of an account, except those of :kept.
-- `rows`, `digest`, `erase` and `audio` are statements about the rows of the account $1; `audio` is null for a table
-- without audio. A digest is equal if both databases have the same rows; reads change `last_used_at`, which
-- is not compared.
SELECT t.name, t.columns,
    format('SELECT %s FROM %I WHERE account_id = $1', t.list, t.name) AS rows,
    format(
        'SELECT count(*) || '':'' || coalesce(sum(hashtextextended(r::text, 0)), 0) '
        'FROM (SELECT %s FROM %I WHERE account_id = $1) AS r', t.compared, t.name
    ) AS digest,
    format('DELETE FROM %I WHERE account_id = $1', t.name) AS erase,
    CASE WHEN t.columns @> ARRAY['audio_key', 'audio_type', 'audio_size'] THEN format(
        'SELECT audio_key, audio_type, audio_size FROM %I WHERE account_id = $1 AND audio_key IS NOT NULL', t.name
    ) END AS audio
FROM (
    SELECT c.relname::text AS name, array_agg(a.attname::text ORDER BY a.attname) AS columns,
        string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname) AS list,
        string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname) FILTER (WHERE a.attname <> 'last_used_at')
            AS compared
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
-- The realms of accounts with the ids :account_ids that were not moved away, and of other accounts with one of the
-- realms or names.
SELECT a.realm
FROM accounts AS a
WHERE a.deleted_at IS NULL
    AND CASE WHEN a.account_id = ANY(:account_ids::uuid[]) THEN coalesce(a.move_state, '') NOT IN ('moved', 'arriving')
        ELSE lower(a.realm) = ANY(:realms::text[])
            OR casefold(normalize(a.name, NFKC) COLLATE pg_unicode_fast) IN (
                SELECT casefold(normalize(n.name, NFKC) COLLATE pg_unicode_fast) FROM unnest(:names::text[]) AS n (name)
            )
        END
ORDER BY a.realm
LIMIT 5;

-- name: get_target_row
-- The row of an account in the target, also that of a copy that is not served yet.
SELECT a.move_state, a.moved_to, a.deleted_at IS NOT NULL AS is_hidden
FROM accounts AS a
WHERE a.account_id = :account_id;

-- name: change_move_state
-- Changes the state of a move in all its accounts, if it is one of :expected ('' is that of an account that is not
-- moved). Processes apply it within 5 s.
UPDATE accounts
SET move_state = :state, moved_to = :moved_to, revision = revision + 1, modified_at = now()
WHERE account_id = ANY(:account_ids::uuid[]) AND coalesce(move_state, '') = ANY(:expected::text[])
RETURNING account_id;

-- name: try_lock_move
-- Locks the move of an account, and prevents moves of the accounts above it, until the session ends.
SELECT pg_try_advisory_lock(hashtextextended('aftertone move ' || :account_id::uuid::text, 0)) AND coalesce((
    SELECT bool_and(pg_try_advisory_lock_shared(hashtextextended('aftertone move ' || above.id::text, 0)))
    FROM accounts AS a CROSS JOIN unnest(a.ancestors) AS above (id)
    WHERE a.account_id = :account_id
), true);

-- name: unlock_move
-- Releases all locks of try_lock_move of this session.
SELECT pg_advisory_unlock_all();

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

-- name: get_time
-- The clock that gives events their time.
SELECT now();

-- name: has_unfinished_work
-- True while events of the accounts are not published, or erasures of them are not finished. With :until, only those
-- that were there at this time.
SELECT EXISTS (
    SELECT FROM outbox AS o
    WHERE o.account_id = ANY(:account_ids::uuid[]) AND o.stream_seq IS NULL
        AND (:until::timestamptz IS NULL OR o.created_at <= :until)
) OR EXISTS (
    SELECT FROM erasures AS e WHERE e.account_id = ANY(:account_ids) AND e.finished_at IS NULL
);

-- name: lock_boxes_of_move
-- Prevents changes of all boxes of the accounts until the transaction ends.
SELECT FROM vmbox_counts
WHERE account_id = ANY(:account_ids::uuid[])
ORDER BY account_id, vmbox_id
FOR UPDATE;

-- name: suspend_deliveries
-- Ends the deliveries that the other deployment performs. They have no time of their end.
UPDATE deliveries
SET status = 'dropped', lease_token = NULL, lease_until = NULL
WHERE account_id = ANY(:account_ids::uuid[]) AND status = 'pending';

-- name: resume_deliveries
-- Makes the deliveries pending again that suspend_deliveries has ended.
UPDATE deliveries
SET status = 'pending', next_at = least(next_at, now())
WHERE account_id = ANY(:account_ids::uuid[]) AND status = 'dropped' AND finished_at IS NULL;

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

-- name: put_arriving_account
-- Writes the row of an account of which the target has only a copy, so that the keeper knows its rules. It is hidden by
-- an infinite time of deletion. The row of an account that was moved away becomes that of the copy; it still redirects.
INSERT INTO accounts AS a
SELECT (jsonb_populate_record(NULL::accounts, :content::jsonb || jsonb_build_object(
    'parent_id', :parent_id::uuid, 'ancestors', :ancestors::uuid[], 'move_state', 'arriving', 'moved_to', NULL,
    'deleted_at', 'infinity'::timestamptz
))).*
ON CONFLICT (account_id) DO UPDATE
SET document = excluded.document, move_state = 'arriving'
WHERE a.move_state IN ('moved', 'arriving')
RETURNING account_id;

-- name: serve_account
-- Serves an account of which the target has a complete copy, with the row that it has in the other deployment.
UPDATE accounts AS a
SET parent_id = :parent_id, ancestors = :ancestors, name = n.name, realm = n.realm, document = n.document,
    auth_epoch = n.auth_epoch, api_key_lookup = n.api_key_lookup, api_key_sealed = n.api_key_sealed,
    revision = greatest(a.revision, n.revision) + 1, modified_at = now(), has_vmbox_retention = n.has_vmbox_retention,
    move_state = NULL, moved_to = NULL, deleted_at = NULL
FROM jsonb_populate_record(NULL::accounts, :content::jsonb) AS n
WHERE a.account_id = n.account_id AND a.move_state = 'arriving'
RETURNING a.account_id;

-- name: erase_accounts
-- Deletes the rows of accounts that leave the target again. Copies of accounts that were moved away from there are
-- redirects again.
WITH redirect AS (
    UPDATE accounts AS a
    SET move_state = 'moved'
    WHERE a.account_id = ANY(:account_ids::uuid[]) AND a.move_state = 'arriving' AND a.moved_to IS NOT NULL
)
DELETE FROM accounts AS a
WHERE a.account_id = ANY(:account_ids) AND NOT (coalesce(a.move_state, '') = 'arriving' AND a.moved_to IS NOT NULL);

-- name: list_revoked_tokens
-- All revoked tokens that have not expired.
SELECT token_id, expires_at, revoked_at FROM revoked_tokens WHERE expires_at > now();

-- name: put_revoked_tokens
-- Revokes tokens that are revoked in the other deployment.
INSERT INTO revoked_tokens (token_id, expires_at, revoked_at)
SELECT * FROM unnest(:token_ids::uuid[], :expiries::timestamptz[], :times::timestamptz[])
ON CONFLICT DO NOTHING;
