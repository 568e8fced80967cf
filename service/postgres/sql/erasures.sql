-- name: insert_erasure
-- Creates a job.
INSERT INTO erasures AS e (
    account_id, erasure_id, subject_id, kind, caller_id_number, caller_id_name, phase
)
VALUES (:account_id, :erasure_id, :subject_id, :kind, :caller_id_number, :caller_id_name, :phase)
RETURNING e.*;

-- name: get_erasure
-- One job.
SELECT e.* FROM erasures AS e WHERE e.account_id = :account_id AND e.erasure_id = :erasure_id;

-- name: list_blocking_holds
-- The holds that cover a message of a person; with a null :caller, all holds of the account.
-- Plan: the holds of the account; for each the messages of the account, until the first that it covers.
SELECT h.hold_id, h.name
FROM holds AS h
WHERE h.account_id = :account_id AND (:caller_id_number::text IS NULL OR EXISTS (
    SELECT FROM messages AS m
    CROSS JOIN LATERAL (SELECT comparable_caller(:caller_id_number) AS caller) AS p
    WHERE m.account_id = :account_id AND {hold_covers} AND (
        is_same_caller(p.caller, m.caller_id_number) OR is_same_caller(p.caller, m.from_uri)
        OR lower(btrim(m.caller_id_name)) = lower(btrim(:caller_id_name::text))
    )
))
ORDER BY h.name, h.hold_id;

-- name: list_unfinished
-- The next unfinished jobs of all accounts, oldest first.
-- Plan: unfinished_erasures, which contains no other jobs.
SELECT e.* FROM erasures AS e WHERE e.finished_at IS NULL ORDER BY e.created_at LIMIT :limit;

-- name: list_accounts_to_erase
-- The accounts that were deleted before :before, or before the time of their own `trash_days`, and not erased.
-- Plan: accounts_to_erase, which contains no other accounts.
SELECT account_id, parent_id
FROM accounts
WHERE deleted_at IS NOT NULL AND erased_at IS NULL AND deleted_at < coalesce(
    :now::timestamptz - make_interval(days => (document ->> 'trash_days')::integer), :before::timestamptz)
ORDER BY deleted_at
LIMIT :limit;

-- name: has_unfinished
-- True when an account is being erased.
SELECT EXISTS (
    SELECT FROM erasures AS e
    WHERE e.account_id = :account_id AND e.subject_id = :subject_id AND e.kind = 'account'
        AND e.finished_at IS NULL
);

-- name: record_progress
-- Records the phase of a job, adds to a counter, and replaces the keys of objects that remain to be deleted.
UPDATE erasures AS e
SET phase = :phase, pending_keys = :pending_keys,
    removed = e.removed || jsonb_build_object(
        :counter::text, coalesce((e.removed ->> :counter)::bigint, 0) + :count::bigint)
WHERE e.account_id = :account_id AND e.erasure_id = :erasure_id;

-- name: finish_erasure
-- Finishes a job and deletes the number and the name of the person.
UPDATE erasures AS e
SET phase = 'finished', finished_at = now(), caller_id_number = NULL, caller_id_name = NULL
WHERE e.account_id = :account_id AND e.erasure_id = :erasure_id AND e.finished_at IS NULL;

-- name: list_messages
-- The messages in the scope of a job among the next :scan_limit messages of an account, and the last of these.
-- Plan: the primary key from the cursor on, month by month, stopped after :scan_limit rows.
SELECT m.month, m.id, m.vmbox_id, m.position, {is_of_person} AS is_in_scope
FROM (
    SELECT page.*, row_number() OVER (ORDER BY page.month, page.id) AS position
    FROM (
        SELECT p.*
        FROM messages AS p
        WHERE p.account_id = :account_id AND p.month >= :after_month
            AND (p.month, p.id) > (:after_month::integer, :after_id::uuid)
        ORDER BY p.month, p.id
        LIMIT (SELECT :scan_limit::bigint)
    ) AS page
) AS m
WHERE m.position = :scan_limit OR {is_of_person}
ORDER BY m.month, m.id;

-- name: redact_messages
-- Replaces the data of the caller in messages of a box, so that no event contains them. Skips held messages, and
-- prevents new holds until the transaction ends.
-- Plan: the partitions of :distinct_months, rows by primary key.
UPDATE messages AS m
SET media = NULL, caller_id_number = 'anonymous', caller_id_name = 'anonymous', from_uri = 'anonymous',
    call_id = '', transcription = NULL
WHERE m.account_id = :account_id AND m.month = ANY(:distinct_months::integer[])
    AND m.id = ANY(:message_ids::uuid[]) AND m.vmbox_id = :vmbox_id AND (m.month, m.id) IN (
        SELECT r.month, r.id FROM unnest(:months::integer[], :message_ids) AS r (month, id)
    )
    AND NOT {is_held}
RETURNING m.month, m.id;

-- name: delete_messages
-- Deletes messages with their outlines and returns their audio keys.
-- Plan: the partitions of :distinct_months, rows by primary key.
WITH waveform AS (
    DELETE FROM waveforms AS w
    WHERE w.account_id = :account_id AND (w.month, w.message_id) IN (
        SELECT r.month, r.id FROM unnest(:months::integer[], :message_ids::uuid[]) AS r (month, id)
    )
)
DELETE FROM messages AS m
WHERE m.account_id = :account_id AND m.month = ANY(:distinct_months::integer[])
    AND m.id = ANY(:message_ids::uuid[]) AND (m.month, m.id) IN (
        SELECT r.month, r.id FROM unnest(:months::integer[], :message_ids) AS r (month, id)
    )
RETURNING m.audio_key;

-- name: redact_outbox
-- Redacts the events of a person among the next :limit events of an account. Returns their number and the last
-- event that was read; no row at the end.
-- Plan: the primary key of each day from the cursor on, merged, stopped at the limit.
WITH page AS MATERIALIZED (
    SELECT o.vmbox_id, o.sequence, o.day, o.data
    FROM outbox AS o
    WHERE o.account_id = :account_id
        AND (o.vmbox_id, o.sequence) > (:after_vmbox_id::uuid, :after_sequence::bigint)
    ORDER BY o.vmbox_id, o.sequence
    LIMIT (SELECT :limit::bigint)
), redacted AS (
    UPDATE outbox AS o
    SET data = {redacted_data}
    FROM page AS e
    WHERE o.account_id = :account_id AND o.vmbox_id = e.vmbox_id AND o.sequence = e.sequence
        AND o.day = e.day AND {is_event_of_person}
    RETURNING o.sequence
)
SELECT (SELECT count(*) FROM redacted) AS count, last.vmbox_id, last.sequence
FROM (SELECT vmbox_id, sequence FROM page ORDER BY vmbox_id DESC, sequence DESC LIMIT 1) AS last;

-- name: redact_deliveries
-- Redacts the deliveries of a person among the next :limit deliveries of an account, and drops pending ones.
-- Returns as redact_outbox.
-- Plan: the primary key from the cursor on, stopped at the limit.
WITH page AS MATERIALIZED (
    SELECT d.event_id, d.channel, d.target, d.event -> 'data' AS data
    FROM deliveries AS d
    WHERE d.account_id = :account_id
        AND (d.event_id, d.channel, d.target) > (:after_event_id::uuid, :after_channel, :after_target)
    ORDER BY d.event_id, d.channel, d.target
    LIMIT :limit
), redacted AS (
    UPDATE deliveries AS d
    SET event = d.event || jsonb_build_object('data', {redacted_data}), state = '{}', last_error = NULL,
        status = CASE d.status WHEN 'pending' THEN 'dropped' ELSE d.status END,
        finished_at = coalesce(d.finished_at, now()), lease_token = NULL, lease_until = NULL
    FROM page AS e
    WHERE d.account_id = :account_id AND d.event_id = e.event_id AND d.channel = e.channel
        AND d.target = e.target AND e.data IS NOT NULL AND {is_event_of_person}
    RETURNING d.event_id
)
SELECT (SELECT count(*) FROM redacted) AS count, last.event_id, last.channel, last.target
FROM (
    SELECT event_id, channel, target FROM page ORDER BY event_id DESC, channel DESC, target DESC LIMIT 1
) AS last;

-- name: redact_answers
-- Redacts the stored responses to requests of a person. A repeated request still has no further effect.
-- Plan: the keys of the account, which are kept for a day.
UPDATE idempotency AS i
SET answer = i.answer || '{"caller_id": {"number": "anonymous", "name": "anonymous"},
    "from_uri": "anonymous", "call_id": "", "transcription": null}'
WHERE i.account_id = :account_id AND i.answer ? 'caller_id' AND (
    is_same_caller(:caller, i.answer #>> '{caller_id,number}')
    OR is_same_caller(:caller, i.answer ->> 'from_uri')
    OR lower(btrim(i.answer #>> '{caller_id,name}')) = lower(btrim(:caller_id_name::text))
);

-- name: is_sent
-- True when all events of an account that exist since before :before are in the stream.
-- Plan: the entries of the account in the partial index of each day.
SELECT NOT EXISTS (
    SELECT FROM outbox AS o
    WHERE o.account_id = :account_id AND o.stream_seq IS NULL AND o.created_at < :before
);

-- name: match_events
-- The positions, from 1, of those events that are of a person.
SELECT e.position
FROM unnest(:events::jsonb[]) WITH ORDINALITY AS e (data, position)
WHERE {is_event_of_person};

-- name: find_mail
-- True when a text has a number or the name of a person. :numbers are the numbers in the text.
SELECT coalesce(bool_or(is_same_caller(:caller, n.number)), false)
    OR coalesce(position(lower(btrim(:caller_id_name::text)) IN lower(:text::text)) > 0, false)
FROM unnest(:numbers::text[]) AS n (number);

-- name: delete_outbox
-- Deletes up to :limit events of a deleted account. The event account.deleted, which has only ids, stays.
-- Plan: the primary key of each day, stopped at the limit.
WITH due AS MATERIALIZED (
    SELECT o.vmbox_id, o.sequence, o.day
    FROM outbox AS o
    WHERE o.account_id = :account_id AND o.type <> 'account.deleted'
    LIMIT :limit
)
DELETE FROM outbox AS o
USING due
WHERE o.account_id = :account_id AND o.vmbox_id = due.vmbox_id AND o.sequence = due.sequence
    AND o.day = due.day;

-- name: delete_deliveries
-- Deletes up to :limit deliveries of a deleted account.
-- Plan: the primary key, stopped at the limit.
WITH due AS MATERIALIZED (
    SELECT d.event_id, d.channel, d.target
    FROM deliveries AS d
    WHERE d.account_id = :account_id
    LIMIT :limit
)
DELETE FROM deliveries AS d
USING due
WHERE d.account_id = :account_id AND d.event_id = due.event_id AND d.channel = due.channel
    AND d.target = due.target;

-- name: delete_attempts
-- Deletes up to :limit attempts of the webhooks of a deleted account.
-- Plan: the primary key, stopped at the limit.
WITH due AS MATERIALIZED (
    SELECT t.webhook_id, t.attempt_id FROM webhook_attempts AS t
    WHERE t.account_id = :account_id
    LIMIT :limit
)
DELETE FROM webhook_attempts AS t
USING due
WHERE t.account_id = :account_id AND t.webhook_id = due.webhook_id AND t.attempt_id = due.attempt_id;

-- name: redact_audit
-- Deletes the addresses of clients from up to :limit records of the audit of a deleted account.
-- Plan: the primary key of each month, stopped at the limit.
WITH due AS MATERIALIZED (
    SELECT a.at, a.id FROM audit AS a
    WHERE a.account_id = :account_id AND a.peer IS NOT NULL
    LIMIT :limit
)
UPDATE audit AS a
SET peer = NULL
FROM due
WHERE a.account_id = :account_id AND a.at = due.at AND a.id = due.id;

-- name: delete_rows_of_account
-- Deletes the other rows of a deleted account, once its messages are erased. Named API keys stay without their
-- names until all processes have read their revocation.
-- Plan: the rows of the account in each table by primary key.
WITH boxes AS (
    DELETE FROM vmboxes AS v WHERE v.account_id = :account_id
), counts AS (
    DELETE FROM vmbox_counts AS c WHERE c.account_id = :account_id
), numbers AS (
    DELETE FROM vmbox_numbers AS n WHERE n.account_id = :account_id
), claims AS (
    DELETE FROM idempotency AS i WHERE i.account_id = :account_id
), hooks AS (
    DELETE FROM webhooks AS w WHERE w.account_id = :account_id
), credentials AS (
    DELETE FROM user_credentials AS u WHERE u.account_id = :account_id
), members AS (
    DELETE FROM users AS u WHERE u.account_id = :account_id
), recipients AS (
    DELETE FROM mail_recipients AS r WHERE r.account_id = :account_id
), rates AS (
    DELETE FROM mail_rates AS r WHERE r.account_id = :account_id
), converted AS (
    DELETE FROM renditions AS r WHERE r.account_id = :account_id
), bytes AS (
    DELETE FROM account_bytes AS b WHERE b.account_id = :account_id
), keys AS (
    UPDATE api_keys AS k SET name = 'erased' WHERE k.account_id = :account_id
)
DELETE FROM media AS g WHERE g.account_id = :account_id;

-- name: redact_account
-- Deletes the names and the document of a deleted account. The row stays, because processes and children refer
-- to it.
UPDATE accounts
SET name = 'erased', realm = hex(account_id) || '.invalid', document = '{}', erased_at = now(),
    modified_at = now()
WHERE account_id = :account_id AND deleted_at IS NOT NULL;
