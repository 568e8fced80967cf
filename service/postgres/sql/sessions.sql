-- name: get_backend_pid
-- The process that answers. It differs from the process of the session behind a pooler.
SELECT pg_backend_pid();

-- name: get_primary_position
-- Position of the log up to which all acknowledged changes are written.
SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint;

-- name: get_standby_position
-- Position of the log up to which a standby shows changes; NULL on a server that is not a standby.
SELECT CASE WHEN pg_is_in_recovery()
    THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint
END;
