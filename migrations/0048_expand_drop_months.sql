-- A month without messages is dropped: its partition is detached, checked again, and then dropped. A message that
-- is stored in the meantime attaches the partition again.

-- As before, and attaches the partition of a month if a drop has detached it.
CREATE OR REPLACE FUNCTION ensure_month(wanted integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '4s' AS $$
DECLARE
    part text := format('messages_%s', wanted);
    following integer := CASE wanted % 100 WHEN 12 THEN wanted + 89 ELSE wanted + 1 END;
    role regrole;
    rights text;
BEGIN
    IF wanted NOT BETWEEN 197001 AND 999912 OR wanted % 100 NOT BETWEEN 1 AND 12 THEN
        RAISE EXCEPTION 'no month: %', wanted USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(part)) THEN
        RETURN false;
    END IF;
    PERFORM check_partition_window(
        to_date(wanted::text, 'YYYYMM'), (now() + interval '4 months 3 days')::date);
    PERFORM pg_advisory_xact_lock(hashtextextended('ensure_month', 0));
    -- Asked of the catalog: to_regclass() may still know that there was no such table.
    IF EXISTS (
        SELECT FROM pg_class JOIN pg_inherits ON inhrelid = oid
        WHERE relname = part AND relnamespace = 'public'::regnamespace
    ) THEN
        RETURN false;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace) THEN
        EXECUTE format('CREATE TABLE %I (LIKE messages INCLUDING ALL)', part);
        EXECUTE format(
            'ALTER TABLE %I ADD CONSTRAINT month_is_its_own CHECK (month >= %s AND month < %s)',
            part, wanted, following);
        FOR role, rights IN
            SELECT acl.grantee, string_agg(acl.privilege_type, ', ')
            FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS acl
            WHERE c.oid = 'messages'::regclass AND acl.grantee NOT IN (0, c.relowner)
            GROUP BY acl.grantee
        LOOP
            EXECUTE format('GRANT %s ON %I TO %s', rights, part, role);
        END LOOP;
    END IF;
    EXECUTE format(
        'ALTER TABLE messages ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
        part, wanted, following);
    RETURN true;
END
$$;

-- Drops the detached partition of a month. If it has rows, which were stored before it was detached, it is
-- attached again and the result is false. It is also false if the partition was attached in the meantime.
CREATE FUNCTION drop_detached_month(wanted integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp SET lock_timeout = '4s' AS $$
DECLARE
    part text := format('messages_%s', wanted);
    has_rows boolean;
BEGIN
    -- The lock of ensure_month: the partition is not attached while this function runs.
    PERFORM pg_advisory_xact_lock(hashtextextended('ensure_month', 0));
    IF NOT EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace) THEN
        RETURN true;
    END IF;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', part);
    IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(part)) THEN
        RETURN false;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', part) INTO has_rows;
    IF has_rows THEN
        PERFORM ensure_month(wanted);
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE %I', part);
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION drop_detached_month(integer) FROM PUBLIC;
