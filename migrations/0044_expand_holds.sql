-- Legal holds: messages that must not be deleted or replaced.

-- Caller numbers are compared in this form: digits without separators, `(0)`, `+`, leading zeros, scheme and
-- host. `+49 (0) 89 1234567`, `0049-89-1234567` and `sip:+49891234567@example.org` are equal. Other text is
-- compared in lower case.
CREATE FUNCTION comparable_caller(caller text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN ltrim(
    regexp_replace(
        regexp_replace(lower(caller), '^(sips?|tel):|[@;].*$', '', 'g'),
        '\(0\)|[\s()./_+\u00a0\u2010-\u2015\u2212-]', '', 'g'),
    '0');

-- True when a caller has a number in comparable form. A number of 8 digits or more also matches the same number
-- with its country code (1 to 3 digits).
CREATE FUNCTION is_same_caller(comparable text, caller text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN comparable <> '' AND (
    comparable = comparable_caller(caller)
    OR (
        comparable ~ '^[0-9]{8,}$' AND comparable_caller(caller) ~ '^[0-9]{8,}$'
        AND abs(length(comparable) - length(comparable_caller(caller))) <= 3
        AND (
            right(comparable, length(comparable_caller(caller))) = comparable_caller(caller)
            OR right(comparable_caller(caller), length(comparable)) = comparable
        )
    )
);

-- A null vmbox_ids means all mailboxes, a null caller_id_number all callers, a null time no bound. A released hold
-- is deleted.
CREATE TABLE holds (
    account_id uuid NOT NULL,
    hold_id uuid NOT NULL,
    name text NOT NULL,
    reason text NOT NULL,
    vmbox_ids uuid[],
    caller_id_number text,
    caller text GENERATED ALWAYS AS (comparable_caller(caller_id_number)) STORED,
    received_from timestamptz,
    received_to timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, hold_id)
);
CREATE INDEX holds_by_name ON holds (account_id, name, hold_id);
