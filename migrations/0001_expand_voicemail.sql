-- Accounts, boxes, messages by month, and the outbox by day.

-- One row: facts about this deployment as a whole.
CREATE TABLE deployment (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT deployment_has_one_row CHECK (only_row),
    epoch bigint NOT NULL DEFAULT 1
);
INSERT INTO deployment DEFAULT VALUES;

-- Directory: the tree of accounts, and how they sign in. Small, and cached by every process.
CREATE TABLE accounts (
    account_id uuid PRIMARY KEY,
    parent_id uuid CONSTRAINT account_has_parent REFERENCES accounts (account_id),
    ancestors uuid[] NOT NULL,
    name text NOT NULL,
    realm text NOT NULL,
    document jsonb NOT NULL,
    auth_epoch bigint NOT NULL DEFAULT 1,
    api_key_lookup bytea NOT NULL,
    api_key_sealed bytea NOT NULL,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    modified_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX account_name_is_unique ON accounts (lower(name)) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX account_realm_is_unique ON accounts (lower(realm)) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX account_api_key_is_unique ON accounts (api_key_lookup);
CREATE UNIQUE INDEX account_root_is_one ON accounts ((parent_id IS NULL)) WHERE parent_id IS NULL;
CREATE INDEX accounts_by_parent ON accounts (parent_id) WHERE deleted_at IS NULL;
CREATE INDEX accounts_by_change ON accounts (modified_at);

CREATE TABLE revoked_tokens (
    token_id uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX revoked_tokens_by_time ON revoked_tokens (revoked_at);
CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);

-- The box as a document. What a message changes lies in vmbox_counts.
CREATE TABLE vmboxes (
    account_id uuid NOT NULL,
    vmbox_id uuid NOT NULL,
    name text NOT NULL,
    document jsonb NOT NULL,
    pin_sealed bytea,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    modified_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    PRIMARY KEY (account_id, vmbox_id)
);
CREATE INDEX vmboxes_by_name ON vmboxes (account_id, name, vmbox_id) WHERE deleted_at IS NULL;

-- The numbers a box answers to: its own and its aliases, in the form in which they compare.
CREATE TABLE vmbox_numbers (
    account_id uuid NOT NULL,
    number text NOT NULL,
    vmbox_id uuid NOT NULL,
    CONSTRAINT vmbox_number_is_unique PRIMARY KEY (account_id, number)
);

-- One narrow row per box: the row that is locked by whatever changes the box or a message of it.
CREATE TABLE vmbox_counts (
    account_id uuid NOT NULL,
    vmbox_id uuid NOT NULL,
    mailbox text NOT NULL,
    max_message_count integer,
    new_count integer NOT NULL DEFAULT 0 CONSTRAINT new_count_is_not_negative CHECK (new_count >= 0),
    saved_count integer NOT NULL DEFAULT 0 CONSTRAINT saved_count_is_not_negative CHECK (saved_count >= 0),
    pending_count integer NOT NULL DEFAULT 0
        CONSTRAINT pending_count_is_not_negative CHECK (pending_count >= 0),
    sequence bigint NOT NULL DEFAULT 0,
    full_event_at timestamptz,
    deleted_at timestamptz,
    PRIMARY KEY (account_id, vmbox_id)
) WITH (fillfactor = 50);

-- No default partition, on purpose: a month is made ahead, or on demand by ensure_month().
CREATE TABLE messages (
    account_id uuid NOT NULL,
    month integer NOT NULL,
    id uuid NOT NULL,
    vmbox_id uuid NOT NULL,
    folder text NOT NULL CONSTRAINT folder_is_known CHECK (folder IN ('new', 'saved', 'deleted')),
    counted boolean NOT NULL,
    received_at timestamptz NOT NULL,
    length_ms integer NOT NULL,
    caller_id_number text NOT NULL,
    caller_id_name text NOT NULL,
    call_id text NOT NULL,
    from_uri text NOT NULL,
    to_uri text NOT NULL,
    audio_key text,
    audio_type text,
    audio_size bigint,
    audio_sha256 bytea,
    transcription jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz,
    PRIMARY KEY (account_id, month, id),
    CONSTRAINT audio_is_whole CHECK (
        num_nulls(audio_key, audio_type, audio_size, audio_sha256) IN (0, 4)
    )
) PARTITION BY RANGE (month);
CREATE INDEX messages_by_vmbox ON messages (account_id, vmbox_id, month, received_at, id)
    WHERE removed_at IS NULL;
CREATE INDEX new_messages_by_vmbox ON messages (account_id, vmbox_id, month, received_at, id)
    WHERE removed_at IS NULL AND folder = 'new';
CREATE INDEX messages_by_account ON messages (account_id, month, received_at, id)
    WHERE removed_at IS NULL;

-- A request that a client may repeat: who works on it (token, lease), the ids it minted (plan), and
-- its answer once it is done. The message and the answer are written by one statement.
CREATE TABLE idempotency (
    account_id uuid NOT NULL,
    vmbox_id uuid NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    token uuid NOT NULL,
    leased_until timestamptz NOT NULL,
    plan jsonb,
    answer jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, vmbox_id, key)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- seq is drawn while the box's counts row is locked, so its order is the box's order.
CREATE TABLE outbox (
    account_id uuid NOT NULL,
    vmbox_id uuid NOT NULL,
    sequence bigint NOT NULL,
    epoch bigint NOT NULL,
    event_id uuid NOT NULL DEFAULT uuidv7(),
    type text NOT NULL,
    data jsonb NOT NULL,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT now(),
    day date NOT NULL DEFAULT (now() AT TIME ZONE 'utc')::date,
    seq bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    published_at timestamptz,
    published_seq bigint,
    stream_seq bigint,
    PRIMARY KEY (account_id, vmbox_id, sequence, day)
) PARTITION BY RANGE (day);
-- To be sent: never published, or published to a stream that has lost it since.
CREATE INDEX outbox_unsent ON outbox (seq) WHERE stream_seq IS NULL;
CREATE INDEX outbox_by_publication ON outbox (published_seq) WHERE published_seq IS NOT NULL;
CREATE INDEX outbox_by_account ON outbox (account_id, published_seq)
    WHERE published_seq IS NOT NULL;
CREATE INDEX outbox_by_stream ON outbox (stream_seq) WHERE stream_seq IS NOT NULL;

-- One row: who publishes (the term), the last number given out, what is known of the stream (its
-- creation, the highest sequence it acknowledged), and when something was last sent again.
CREATE TABLE relay_state (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT relay_state_has_one_row CHECK (only_row),
    term bigint NOT NULL DEFAULT 0,
    published_seq bigint NOT NULL DEFAULT 0,
    stream_created_at timestamptz,
    stream_seq bigint NOT NULL DEFAULT 0,
    republished_at timestamptz
);
INSERT INTO relay_state DEFAULT VALUES;

-- Makes the partition of one month. Standalone first, then attached: ATTACH does not block the
-- readers and writers of the parent, as CREATE ... PARTITION OF would.
CREATE FUNCTION ensure_month(wanted integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '4s' AS $$
DECLARE
    part text := format('messages_%s', wanted);
    following integer := CASE wanted % 100 WHEN 12 THEN wanted + 89 ELSE wanted + 1 END;
BEGIN
    IF wanted NOT BETWEEN 197001 AND 999912 OR wanted % 100 NOT BETWEEN 1 AND 12 THEN
        RAISE EXCEPTION 'no month: %', wanted USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ensure_month', 0));
    -- Asked of the catalog: to_regclass() may still know that there was no such table.
    IF EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE messages INCLUDING ALL)', part);
    EXECUTE format(
        'ALTER TABLE %I ADD CONSTRAINT month_is_its_own CHECK (month >= %s AND month < %s)',
        part, wanted, following);
    EXECUTE format(
        'ALTER TABLE messages ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
        part, wanted, following);
    RETURN true;
END
$$;

-- Makes the outbox partition of one day. Without identity: ATTACH refuses a table that has one.
CREATE FUNCTION ensure_outbox_day(wanted date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '4s' AS $$
DECLARE
    part text := format('outbox_%s', to_char(wanted, 'YYYYMMDD'));
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ensure_outbox_day', 0));
    IF EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace) THEN
        RETURN false;
    END IF;
    -- Every row is updated once, when it is sent: vacuum early, or the index of what is to be sent
    -- drags the entries of what was.
    EXECUTE format(
        'CREATE TABLE %I (LIKE outbox INCLUDING ALL EXCLUDING IDENTITY)
            WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000)', part);
    EXECUTE format(
        'ALTER TABLE %I ADD CONSTRAINT day_is_its_own CHECK (day >= %L AND day < %L)',
        part, wanted, wanted + 1);
    EXECUTE format(
        'ALTER TABLE outbox ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        part, wanted, wanted + 1);
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION ensure_month(integer), ensure_outbox_day(date) FROM PUBLIC;

-- How an id is written on every wire: 32 hex digits.
CREATE FUNCTION hex(id uuid) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN replace(id::text, '-', '');

-- The part that all events of a box share.
CREATE FUNCTION event_of_box(
    account_id uuid, vmbox_id uuid, mailbox text, epoch bigint, sequence bigint,
    new_count integer, saved_count integer
) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE RETURN jsonb_build_object(
    'account_id', hex(account_id),
    'vmbox_id', hex(vmbox_id),
    'mailbox', mailbox,
    'epoch', epoch,
    'sequence', sequence,
    'counts', jsonb_build_object('new', new_count, 'saved', saved_count)
);

-- A message as events carry it: Gregorian seconds (Unix + 62167219200) and milliseconds.
CREATE FUNCTION event_message(
    month integer, id uuid, folder text, received_at timestamptz, length_ms integer,
    caller_id_number text, caller_id_name text, call_id text, from_uri text, to_uri text
) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE RETURN jsonb_build_object(
    'media_id', month::text || '-' || hex(id),
    'timestamp', extract(epoch FROM received_at)::bigint + 62167219200,
    'folder', folder,
    'length', length_ms,
    'caller_id_number', caller_id_number,
    'caller_id_name', caller_id_name,
    'call_id', call_id,
    'from', from_uri,
    'to', to_uri
);
