-- name: claim
-- Claims a key for a request, or returns its state: running, other content, or completed with an answer.
-- An expired lease is taken over with its plan. A key older than a day is treated as new.
WITH claimed AS (
    INSERT INTO idempotency AS i (
        account_id, vmbox_id, key, fingerprint, token, leased_until, plan
    )
    VALUES (:account_id, :vmbox_id, :key, :fingerprint, :token, now() + :lease::interval, :plan)
    ON CONFLICT (account_id, vmbox_id, key) DO UPDATE
    SET token = excluded.token,
        leased_until = excluded.leased_until,
        fingerprint = excluded.fingerprint,
        plan = CASE WHEN i.created_at < now() - interval '1 day'
            THEN excluded.plan ELSE i.plan END,
        answer = NULL,
        created_at = CASE WHEN i.created_at < now() - interval '1 day'
            THEN now() ELSE i.created_at END
    WHERE i.created_at < now() - interval '1 day'
        OR (i.fingerprint = excluded.fingerprint AND i.answer IS NULL AND i.leased_until < now())
    RETURNING i.plan
)
SELECT 'claimed' AS state, plan, NULL::jsonb AS answer FROM claimed
UNION ALL
SELECT
    CASE
        WHEN fingerprint <> :fingerprint THEN 'other_content'
        WHEN answer IS NULL THEN 'running'
        ELSE 'completed'
    END,
    plan, answer
FROM idempotency
WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND key = :key
    AND NOT EXISTS (SELECT FROM claimed);

-- name: renew_claim
-- Extends the lease of a claim. No row when the token no longer holds it.
UPDATE idempotency SET leased_until = now() + :lease::interval
WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND key = :key AND token = :token
    AND answer IS NULL
RETURNING true;

-- name: complete_claim
-- Completes a claim with its answer. No row when the token no longer holds it.
UPDATE idempotency SET answer = :answer
WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND key = :key AND token = :token
    AND answer IS NULL
RETURNING true;

-- name: expire_claim
-- Ends the lease and keeps the plan, so that the next request with this key continues it.
UPDATE idempotency SET leased_until = '-infinity'
WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND key = :key AND token = :token
    AND answer IS NULL;

-- name: release_claim
-- Deletes a claim whose request was refused and changed nothing.
DELETE FROM idempotency
WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND key = :key AND token = :token
    AND answer IS NULL;
