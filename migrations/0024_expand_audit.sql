-- The audit: changes, refused requests, sign-ins, and readings of audio, PINs and API keys.

-- Append-only: the service's role may only insert and select. Columns with ids have no foreign keys, because
-- records outlive what they name. An audit month is created ahead, and dropped as a whole after its time.
CREATE TABLE audit (
    account_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    id uuid NOT NULL DEFAULT uuidv7(),
    action text NOT NULL,
    result text NOT NULL DEFAULT 'success',
    principal text NOT NULL,
    principal_id uuid,
    credential_id uuid,
    peer text,
    request_id text,
    vmbox_id uuid,
    month integer,
    message_id uuid,
    target text,
    PRIMARY KEY (account_id, at, id)
) PARTITION BY RANGE (at);

-- Creates the audit partition of a month. The service's role may call it, so that a missing partition does not
-- stop changes; the window keeps it from creating any number of tables.
CREATE FUNCTION ensure_audit_month(wanted integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '4s' AS $$
DECLARE
    part text := format('audit_%s', wanted);
    beginning timestamptz := make_timestamptz(wanted / 100, wanted % 100, 1, 0, 0, 0, 'UTC');
    ending timestamptz := (beginning AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
    IF beginning NOT BETWEEN now() - interval '2 years' AND now() + interval '1 year' THEN
        RAISE EXCEPTION 'month is too far from today: %', wanted USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ensure_audit_month', 0));
    IF EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace) THEN
        RETURN false;
    END IF;
    -- Without a CHECK constraint: the table is empty, so ATTACH has no rows to verify, and each insert would
    -- parse and evaluate the constraint.
    EXECUTE format('CREATE TABLE %I (LIKE audit INCLUDING ALL)', part);
    EXECUTE format(
        'ALTER TABLE audit ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        part, beginning, ending);
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION ensure_audit_month(integer) FROM PUBLIC;
