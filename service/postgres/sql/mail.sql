-- name: reserve_mail
-- Reserves the next mail of an account at :interval_s per mail. Returns the seconds until it may be sent,
-- at most 0 for the mails of an unused hour.
-- Plan: one row by primary key.
INSERT INTO mail_rates AS r (account_id, next_at)
VALUES (:account_id, now() + make_interval(secs => 2 * :interval_s - 3600))
ON CONFLICT (account_id) DO UPDATE
SET next_at = greatest(r.next_at, now() + make_interval(secs => :interval_s - 3600))
    + make_interval(secs => :interval_s)
RETURNING extract(epoch FROM r.next_at - now())::float8 - :interval_s AS delay_s;
