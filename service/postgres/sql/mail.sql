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

-- name: read_mail_recipients
-- The consent of each of :addresses (lower case), and if it is the address of a user of the account.
-- Plan: the users of the account once; consents by primary key.
SELECT a.address, r.consent,
    coalesce(a.address IN (
        SELECT lower(u.document ->> 'email') FROM users AS u
        WHERE u.account_id = :account_id AND u.document ->> 'email' IS NOT NULL
    ), false) AS is_user
FROM unnest(:addresses::text[]) AS a (address)
LEFT JOIN mail_recipients AS r ON r.account_id = :account_id AND r.address = a.address;

-- name: request_consent
-- Records a request for consent. No row if the recipient has answered, or was asked since :since.
INSERT INTO mail_recipients AS r (account_id, address, consent)
VALUES (:account_id, :address, 'requested')
ON CONFLICT (account_id, address) DO UPDATE SET changed_at = now()
WHERE r.consent = 'requested' AND r.changed_at < :since
RETURNING r.address;

-- name: set_consent
-- Records the answer of a recipient. The last answer counts.
INSERT INTO mail_recipients AS r (account_id, address, consent)
VALUES (:account_id, :address, :consent)
ON CONFLICT (account_id, address) DO UPDATE SET consent = excluded.consent, changed_at = now()
WHERE r.consent <> excluded.consent;
