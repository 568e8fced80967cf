-- Text that several statements share. `{event_message}` in a statement stands for the fragment of that name.

-- fragment: append_event
-- The only way to append events of a box: CTEs that insert the rows of the CTE `event` into the outbox and,
-- as changes by the current actor, into the audit. `event` has the columns vmbox_id, mailbox, sequence,
-- new_count, saved_count, type, data, and month and message_id, which are null for an event of a box. A row
-- without data is a change of a message without audio: it causes no event and is written to the audit only.
-- `event` must read from the CTE that locked the counts row. Then the value of outbox.seq is generated under the
-- lock, and grows with the sequence. Several events of one box must be in the order of their sequence.
appended AS (
    INSERT INTO outbox (account_id, vmbox_id, sequence, epoch, type, data, traceparent)
    SELECT :account_id, e.vmbox_id, e.sequence, d.epoch, e.type,
        jsonb_build_object(
            'account_id', hex(:account_id),
            'vmbox_id', hex(e.vmbox_id),
            'mailbox', e.mailbox,
            'epoch', d.epoch,
            'sequence', e.sequence,
            'counts', jsonb_build_object('new', e.new_count, 'saved', e.saved_count)
        ) || e.data,
        :traceparent
    FROM event AS e CROSS JOIN deployment AS d
    WHERE e.data IS NOT NULL
), audited AS (
    INSERT INTO audit (
        account_id, action, vmbox_id, month, message_id, principal, principal_id, credential_id, peer,
        request_id
    )
    SELECT :account_id, e.type, e.vmbox_id, e.month, e.message_id, :principal, :principal_id,
        :credential_id, :peer, :request_id
    FROM event AS e
)

-- fragment: count_bytes
-- Adds the column bytes_change of the CTE `counts` to the stored bytes of the account. A session uses one of
-- 64 rows of the account, so that sessions seldom wait for each other. It must take no other lock afterwards.
counted_bytes AS (
    INSERT INTO account_bytes AS b (account_id, part, bytes)
    SELECT :account_id, pg_backend_pid() % 64, sum(bytes_change)
    FROM counts
    HAVING sum(bytes_change) <> 0
    ON CONFLICT (account_id, part) DO UPDATE SET bytes = b.bytes + EXCLUDED.bytes
)

-- fragment: stored_bytes
-- The stored bytes of the account.
(SELECT coalesce(sum(t.bytes), 0) FROM account_bytes AS t WHERE t.account_id = :account_id)

-- fragment: is_unknown_rendition
-- True if the object `o` is a rendition without a row.
(o.original IS NOT NULL AND NOT EXISTS (
    SELECT
    FROM renditions AS r
    WHERE r.account_id = o.account_id AND r.audio_key = o.original AND r.key = o.key
))

-- fragment: event_message
-- The message `m` as events carry it: Gregorian seconds (Unix + 62167219200) and milliseconds.
jsonb_build_object(
    'media_id', m.month::text || '-' || hex(m.id),
    'timestamp', extract(epoch FROM m.received_at)::bigint + 62167219200,
    'folder', m.folder,
    'length', m.length_ms,
    'caller_id_number', m.caller_id_number,
    'caller_id_name', m.caller_id_name,
    'call_id', m.call_id,
    'from', m.from_uri,
    'to', m.to_uri
)

-- fragment: message_summary
-- The columns of the message `m` in a list, in the order in which they are read.
m.month, m.id, m.vmbox_id, m.folder, m.received_at, m.length_ms, m.caller_id_number, m.caller_id_name, m.call_id,
    m.from_uri, m.to_uri, m.transcription

-- fragment: event_vmbox
-- The public document of the box `v`, as events carry it.
v.document || jsonb_build_object('id', hex(v.vmbox_id))

-- fragment: vmbox_of_list
-- The columns of the box `v` in a list. With :keys, only these keys of its document, which is read once.
v.account_id, v.vmbox_id, v.pin_sealed, v.revision, v.created_at, v.modified_at,
    CASE WHEN :keys::text[] IS NULL THEN v.document ELSE (
        SELECT coalesce(jsonb_object_agg(d.key, d.value), '{}')
        FROM jsonb_each(v.document) AS d
        WHERE d.key = ANY(:keys)
    ) END AS document,
    CASE WHEN :keys IS NULL THEN v.recipients ELSE '[]' END AS recipients

-- fragment: account_columns
account_id, parent_id, ancestors, name, realm, auth_epoch, revision, has_vmbox_retention, move_state, moved_to,
    document, created_at, modified_at

-- fragment: account_facts_columns
account_id, parent_id, ancestors, name, realm, auth_epoch, revision, move_state, moved_to,
    document -> 'max_message_count' AS max_message_count, document ->> 'wire_profile' AS wire_profile,
    document -> 'redirect_audio' AS redirect_audio, document ->> 'timezone' AS timezone,
    document -> 'trash_days' AS trash_days, document -> 'limits' AS limits, has_vmbox_retention,
    retention_days(document, 'message_retention_days') AS message_retention_days,
    retention_days(document, 'deleted_retention_days') AS deleted_retention_days

-- fragment: greeting_of_boxes
(
    g.owner_id = :owner_id::uuid OR EXISTS (
        SELECT FROM vmbox_media AS b
        WHERE b.account_id = :account_id AND b.media_id = g.media_id AND b.vmbox_id = ANY(:vmbox_ids::uuid[])
    )
)

-- fragment: hold_covers
-- True when the hold `h` covers the message `m`.
h.account_id = m.account_id
    AND (h.vmbox_ids IS NULL OR m.vmbox_id = ANY(h.vmbox_ids))
    AND (h.received_from IS NULL OR m.received_at >= h.received_from)
    AND (h.received_to IS NULL OR m.received_at <= h.received_to)
    AND (
        h.caller IS NULL OR is_same_caller(h.caller, m.caller_id_number)
        OR is_same_caller(h.caller, m.from_uri)
    )

-- fragment: is_held
-- True when a hold covers the message `m`. Every statement that deletes or replaces a message checks it. The
-- lock makes a new hold wait for such a statement (lock_holds). Without holds in the account it costs one
-- look-up by primary key in an empty index.
EXISTS (SELECT FROM holds AS h WHERE {hold_covers} FOR KEY SHARE OF h)

-- fragment: is_transcribable
-- True when the message `m` is in the selection of a run of `aftertone transcribe`.
m.audio_key IS NOT NULL AND num_nulls(m.removed_at) = 1
    AND (:vmbox_id::uuid IS NULL OR m.vmbox_id = :vmbox_id)
    AND (:since::timestamptz IS NULL OR m.received_at >= :since)
    AND (:until::timestamptz IS NULL OR m.received_at < :until)
    AND (:again::boolean OR m.transcription ->> 'result' IS DISTINCT FROM 'success')
    AND coalesce(m.transcription_requested_at, '-infinity') < now() - :lifetime::interval

-- fragment: is_of_person
-- True when the message `m` is of the person :caller (a number in comparable form) and :caller_id_name; with a
-- null :caller, of anybody.
(
    :caller::text IS NULL OR is_same_caller(:caller, m.caller_id_number)
    OR is_same_caller(:caller, m.from_uri)
    OR lower(btrim(m.caller_id_name)) = lower(btrim(:caller_id_name::text))
)

-- fragment: is_event_of_person
-- As is_of_person, for the data `e.data` of an event.
(
    is_same_caller(:caller, e.data #>> '{message,caller_id_number}')
    OR is_same_caller(:caller, e.data #>> '{message,from}')
    OR lower(btrim(e.data #>> '{message,caller_id_name}')) = lower(btrim(:caller_id_name::text))
)

-- fragment: redacted_data
-- The data `e.data` of an event about a message without the data of its caller.
e.data || jsonb_build_object('message', (e.data -> 'message')
    || '{"caller_id_number": "anonymous", "caller_id_name": "anonymous", "call_id": "", "from": "anonymous"}'
    || CASE WHEN e.data -> 'message' ? 'transcription'
        THEN '{"transcription": {"result": "erased"}}' ELSE '{}' END::jsonb)
