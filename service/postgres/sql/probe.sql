-- name: get_server_facts
-- The server, and the rights of this role that a service must not have.
SELECT current_setting('server_version_num')::int AS version,
       current_setting('server_version') AS version_name,
       current_user AS role,
       current_setting('statement_timeout') AS statement_timeout,
       rolsuper AS superuser,
       (SELECT count(*) FROM pg_class
        WHERE relowner = pg_roles.oid AND relnamespace = 'public'::regnamespace
          AND relkind IN ('r', 'p')) AS owned,
       to_regclass('migrations') IS NOT NULL AS migrated,
       pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS read_only
FROM pg_roles
WHERE rolname = current_user;
