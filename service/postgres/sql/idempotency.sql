-- name: claim
-- Takes a key for a request, or tells what there is: running, other content, or the answer. A lease
-- that ran out is taken over with its plan; what is older than a day counts as never seen.
WITH claimed AS (
    INSERT INTO idempotency AS i (
        account_id, vmbox_id, key, fingerprint, token, leased_until, plan
    )
    VALUES ($1, $2, $3, $4, $5, now() + $6::interval, $7)
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
        WHEN fingerprint <> $4 THEN 'other_content'
        WHEN answer IS NULL THEN 'running'
        ELSE 'answered'
    END,
    plan, answer
FROM idempotency
WHERE account_id = $1 AND vmbox_id = $2 AND key = $3 AND NOT EXISTS (SELECT FROM claimed);

-- name: renew_claim
-- Extends the lease of a claim that is still held.
UPDATE idempotency SET leased_until = now() + $5::interval
WHERE account_id = $1 AND vmbox_id = $2 AND key = $3 AND token = $4 AND answer IS NULL
RETURNING true;

-- name: answer_claim
-- Ends a claim that is still held with its answer.
UPDATE idempotency SET answer = $5
WHERE account_id = $1 AND vmbox_id = $2 AND key = $3 AND token = $4 AND answer IS NULL
RETURNING true;

-- name: yield_claim
-- Gives the lease up and keeps the plan: the next request under this key goes on.
UPDATE idempotency SET leased_until = '-infinity'
WHERE account_id = $1 AND vmbox_id = $2 AND key = $3 AND token = $4 AND answer IS NULL;

-- name: release_claim
-- Forgets a claim: the request was refused and has changed nothing.
DELETE FROM idempotency
WHERE account_id = $1 AND vmbox_id = $2 AND key = $3 AND token = $4 AND answer IS NULL;
