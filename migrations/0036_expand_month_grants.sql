-- Statements on one message name the partition of its month. So the service's role needs the same rights on the
-- partitions of messages as on the whole table. `aftertone migrate` grants them on the partitions that exist.

-- As before, and copies the rights on messages to the new partition.
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
    FOR role, rights IN
        SELECT acl.grantee, string_agg(acl.privilege_type, ', ')
        FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS acl
        WHERE c.oid = 'messages'::regclass AND acl.grantee NOT IN (0, c.relowner)
        GROUP BY acl.grantee
    LOOP
        EXECUTE format('GRANT %s ON %I TO %s', rights, part, role);
    END LOOP;
    EXECUTE format(
        'ALTER TABLE messages ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
        part, wanted, following);
    RETURN true;
END
$$;
