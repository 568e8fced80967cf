-- Bounds of the partitions that the service's role may have created. Without them, one caller of
-- ensure_month could create a partition for each month of 8 000 years.

-- One row that only the owner writes: `aftertone migrate` stores AFTERTONE_OLDEST_MONTH. Null: 24 months ago.
CREATE TABLE partition_window (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT partition_window_has_one_row CHECK (only_row),
    oldest_month integer
);
INSERT INTO partition_window DEFAULT VALUES;

-- Raises an error for a day outside of the window, unless the owner of the tables is connected. One month and
-- some days of tolerance, because processes and server may differ in time zone and clock.
CREATE FUNCTION check_partition_window(wanted date, newest date) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
    oldest date := coalesce(
        (SELECT to_date(oldest_month::text, 'YYYYMM') FROM partition_window),
        date_trunc('month', now() - interval '25 months'));
BEGIN
    IF session_user <> current_user AND wanted NOT BETWEEN oldest AND newest THEN
        RAISE EXCEPTION 'partition outside of % to %: %', oldest, newest, wanted
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION check_partition_window(date, date) FROM PUBLIC;

-- As before, with a check of the window.
CREATE OR REPLACE FUNCTION ensure_month(wanted integer) RETURNS boolean
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
    PERFORM check_partition_window(
        to_date(wanted::text, 'YYYYMM'), (now() + interval '4 months 3 days')::date);
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

-- As before, with a check of the window.
CREATE OR REPLACE FUNCTION ensure_outbox_day(wanted date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '4s' AS $$
DECLARE
    part text := format('outbox_%s', to_char(wanted, 'YYYYMMDD'));
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM check_partition_window(wanted, (now() + interval '40 days')::date);
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

-- Names of accounts are compared in one form: without differences of case, width and composition.
-- squawk-ignore require-concurrent-index-creation -- accounts are few, so the lock is short
CREATE INDEX accounts_by_folded_name
    ON accounts (casefold(normalize(name, NFKC) COLLATE pg_unicode_fast)) WHERE deleted_at IS NULL;
