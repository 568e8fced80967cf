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

-- fragment: removal_steps
-- Columns of the CTE `step`: the number of events, and the changes of both counts, up to each removed message `m`.
-- `counted_before` is its column `counted` before the removal.
count(m.audio_key) OVER up_to_here AS step,
        count(*) FILTER (WHERE m.counted_before AND m.folder = 'new') OVER up_to_here AS from_new,
        count(*) FILTER (WHERE m.counted_before AND m.folder = 'saved') OVER up_to_here AS from_saved

-- fragment: count_removals
-- CTEs that update the counts of a box for removed messages, and the event of each with the counts after it.
-- `locked` is the counts row, `message` the removed messages, `step` their running totals (removal_steps).
counts AS (
    UPDATE vmbox_counts AS c
    SET new_count = locked.new_count - t.from_new,
        saved_count = locked.saved_count - t.from_saved,
        pending_count = locked.pending_count - t.pending,
        stored_bytes = locked.stored_bytes - t.bytes,
        sequence = locked.sequence + t.steps
    FROM locked, (
        SELECT
            count(*) FILTER (WHERE counted_before AND folder = 'new') AS from_new,
            count(*) FILTER (WHERE counted_before AND folder = 'saved') AS from_saved,
            count(*) FILTER (WHERE audio_key IS NULL) AS pending,
            coalesce(sum(audio_size), 0) AS bytes,
            count(*) FILTER (WHERE audio_key IS NOT NULL) AS steps
        FROM message
    ) AS t
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND locked.deleted_at IS NULL
        AND t.steps + t.pending > 0
    RETURNING c.stored_bytes - old.stored_bytes AS bytes_change
), event AS (
    SELECT locked.vmbox_id, locked.mailbox, locked.sequence + m.step AS sequence,
        (locked.new_count - m.from_new)::integer AS new_count,
        (locked.saved_count - m.from_saved)::integer AS saved_count,
        m.month, m.id AS message_id, 'message.removed' AS type,
        CASE WHEN m.audio_key IS NOT NULL
            THEN jsonb_build_object('message', {event_message}, 'reason', :reason::text)
        END AS data
    FROM step AS m CROSS JOIN locked
    ORDER BY m.step
)

-- fragment: cut_by_bytes
-- The end of a statement of the feed: the events of the CTE `page`, up to the one that reaches :limit_bytes.
sized AS (
    SELECT page.*,
        count(*) OVER () AS rows_before_cut,
        coalesce(sum(octet_length(data::text)) OVER (
            ORDER BY published_seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS bytes_before
    FROM page
)
SELECT account_id, vmbox_id, sequence, event_id, type, convert_to(data::text, 'UTF8') AS data,
    data #>> '{message,media_id}' AS media_id, traceparent, created_at, published_seq,
    rows_before_cut
FROM sized
WHERE bytes_before < :limit_bytes
ORDER BY published_seq

-- fragment: window_backwards
-- True for messages `m` of the window from the cursor on, backwards. See list_messages for the order.
(m.month, m.received_at, m.id)
    <= (:start_month::integer, :start_received_at::timestamptz, :start_id::uuid)
    AND (m.month, m.received_at) >= (:first_month::integer, :since::timestamptz)
    AND m.month BETWEEN :first_month AND least(:last_month::integer, :start_month)
    AND m.received_at BETWEEN :since AND :until
    AND (:folder::text IS NULL OR m.folder = :folder)

-- fragment: window_forwards
-- True for messages `m` of the window from the cursor on, forwards. See list_messages for the order.
(m.month, m.received_at, m.id)
    >= (:start_month::integer, :start_received_at::timestamptz, :start_id::uuid)
    AND (m.month, m.received_at) <= (:last_month::integer, :until::timestamptz)
    AND m.month BETWEEN greatest(:first_month::integer, :start_month) AND :last_month
    AND m.received_at BETWEEN :since AND :until
    AND (:folder::text IS NULL OR m.folder = :folder)

-- fragment: of_existing_box
-- Join that keeps the messages `m` of boxes that exist. OFFSET 0 prevents a join that reads all boxes of the account.
CROSS JOIN LATERAL (
    SELECT FROM vmbox_counts AS c
    WHERE c.account_id = :account_id AND c.vmbox_id = m.vmbox_id AND c.deleted_at IS NULL
    OFFSET 0
) AS box

-- fragment: purge_due
-- The end of a statement that deletes the messages of the CTE `due`, of one month, with their outlines.
waveform AS (
    DELETE FROM waveforms AS w
    USING due
    WHERE w.account_id = due.account_id AND w.month = :month AND w.message_id = due.id
)
DELETE FROM messages AS m
USING due
WHERE m.account_id = due.account_id AND m.month = :month AND m.id = due.id
RETURNING m.audio_key, m.removed_at

-- fragment: is_selected
-- True for records of the audit that a filter selects.
(:action::text IS NULL OR action = :action)
    AND (:principal_id::uuid IS NULL OR principal_id = :principal_id)
    AND (:vmbox_id::uuid IS NULL OR vmbox_id = :vmbox_id)
    AND (:message_id::uuid IS NULL OR (month = :month::integer AND message_id = :message_id))

-- fragment: vmboxes_with_counts
-- The boxes `v` of an account with their counts; with :vmbox_ids only of those boxes. OFFSET 0 prevents a join
-- that reads all counts of the account for each box.
SELECT {vmbox_of_list}, counts.new_count, counts.saved_count
FROM vmboxes AS v
CROSS JOIN LATERAL (
    SELECT c.new_count, c.saved_count
    FROM vmbox_counts AS c
    WHERE c.account_id = :account_id AND c.vmbox_id = v.vmbox_id
    OFFSET 0
) AS counts
WHERE v.account_id = :account_id AND v.deleted_at IS NULL
    AND (:vmbox_ids::uuid[] IS NULL OR v.vmbox_id = ANY(:vmbox_ids))

-- fragment: lock_sequence
-- The lock of the counts row of a box, for an event that changes no count. No row without the box.
locked AS MATERIALIZED (
    SELECT sequence
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND deleted_at IS NULL
    FOR NO KEY UPDATE
)

-- fragment: next_sequence
-- CTE that gives the event of the CTE `message` the next sequence of its box.
counts AS (
    UPDATE vmbox_counts AS c
    SET sequence = locked.sequence + 1
    FROM locked, message
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id
    RETURNING c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count
)
