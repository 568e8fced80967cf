-- name: insert_webhook
-- A new webhook, unless the account has $9 of them. Several made at once may exceed that by a few.
INSERT INTO webhooks (account_id, webhook_id, name, uri, hook, enabled, secret, document)
SELECT $1, $2, $3, $4, $5, $6, $7, $8
WHERE (SELECT count(*) FROM webhooks AS w WHERE w.account_id = $1) < $9::bigint
RETURNING *;

-- name: get_webhook
-- One webhook.
SELECT w.* FROM webhooks AS w WHERE w.account_id = $1 AND w.webhook_id = $2;

-- name: list_webhooks
-- A page of an account's webhooks by name.
-- Plan: webhooks_by_name in order, stops when the page is full.
SELECT w.*
FROM webhooks AS w
WHERE w.account_id = $1 AND (w.name, w.webhook_id) >= ($2, $3::uuid)
ORDER BY w.name, w.webhook_id
LIMIT $4;

-- name: list_webhooks_descending
-- The same, last name first; without a name it begins at the last one.
SELECT w.*
FROM webhooks AS w
WHERE w.account_id = $1 AND ($2::text IS NULL OR (w.name, w.webhook_id) <= ($2, $3::uuid))
ORDER BY w.name DESC, w.webhook_id DESC
LIMIT $4;

-- name: update_webhook
-- Replaces a webhook's document if nobody has changed it since revision $3. Failures begin anew with
-- another address, and when it is enabled again.
UPDATE webhooks AS w
SET name = $4, uri = $5, hook = $6, enabled = $7, document = $8,
    disable_reason = CASE WHEN $7 THEN NULL ELSE w.disable_reason END,
    failures = CASE WHEN w.uri = $5 AND w.enabled THEN w.failures ELSE 0 END,
    revision = w.revision + 1, modified_at = now()
WHERE w.account_id = $1 AND w.webhook_id = $2 AND w.revision = $3
RETURNING w.*;

-- name: delete_webhook
-- Deletes a webhook. Its attempts grow old and go.
DELETE FROM webhooks AS w WHERE w.account_id = $1 AND w.webhook_id = $2 RETURNING w.*;

-- name: end_webhooks_of_account
-- An account ends: what happened until now, its end too, is still told.
UPDATE webhooks AS w SET ended_at = now() WHERE w.account_id = $1;

-- name: subscribed
-- The webhooks that want an event of this type.
SELECT w.webhook_id FROM webhooks AS w
WHERE w.account_id = $1 AND w.enabled AND w.hook IN ($2, 'all')
ORDER BY w.webhook_id;

-- name: insert_attempt
-- Notes an attempt, if the webhook is still there.
INSERT INTO webhook_attempts (
    account_id, webhook_id, attempt_id, event_id, event_type, attempt, attempted_at, response_code,
    error, duration_ms
)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
FROM webhooks AS w
WHERE w.account_id = $1 AND w.webhook_id = $2;

-- name: list_attempts
-- A page of a webhook's attempts, the latest first; without an id it begins at the last one.
-- Plan: the primary key backwards, stops when the page is full.
SELECT t.*
FROM webhook_attempts AS t
WHERE t.account_id = $1 AND t.webhook_id = $2 AND ($3::uuid IS NULL OR t.attempt_id <= $3)
ORDER BY t.attempt_id DESC
LIMIT $4;

-- name: list_attempts_ascending
-- The same, the oldest first.
SELECT t.*
FROM webhook_attempts AS t
WHERE t.account_id = $1 AND t.webhook_id = $2 AND ($3::uuid IS NULL OR t.attempt_id >= $3)
ORDER BY t.attempt_id
LIMIT $4;

-- name: forget_failures
-- A success: failures are counted anew. Writes nothing when there were none.
UPDATE webhooks AS w SET failures = 0
WHERE w.account_id = $1 AND w.webhook_id = $2 AND w.failures > 0;

-- name: note_failure
-- A failed attempt at a webhook that is enabled: disables it for reason $4, or for the $3rd failure in
-- a row. What is sent to a disabled one any more is not counted.
UPDATE webhooks AS w
SET failures = w.failures + 1,
    enabled = $4::text IS NULL AND w.failures + 1 < $3,
    disable_reason = coalesce($4, CASE WHEN w.failures + 1 >= $3 THEN 'failures' END),
    revision = w.revision + CASE WHEN $4 IS NULL AND w.failures + 1 < $3 THEN 0 ELSE 1 END,
    modified_at = CASE WHEN $4 IS NULL AND w.failures + 1 < $3 THEN w.modified_at ELSE now() END
WHERE w.account_id = $1 AND w.webhook_id = $2 AND w.enabled
RETURNING w.enabled, w.disable_reason;

-- name: drop_waiting
-- Gives up what waits for a webhook that is disabled or gone. What somebody is sending right now is
-- left to him: he finds out. Rows that others hold are stepped over, since they may wait for ours.
-- Plan: deliveries_due, of this channel.
WITH waiting AS MATERIALIZED (
    SELECT d.event_id FROM deliveries AS d
    WHERE d.account_id = $1 AND d.channel = 'webhook' AND d.target = $2 AND d.status = 'pending'
        AND (d.lease_until IS NULL OR d.lease_until < now())
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE deliveries AS d
SET status = 'dropped', finished_at = now(), lease_token = NULL, lease_until = NULL
FROM waiting
WHERE d.account_id = $1 AND d.event_id = waiting.event_id AND d.channel = 'webhook'
    AND d.target = $2;

-- name: delete_old_attempts
-- Attempts older than a moment, at most $2.
DELETE FROM webhook_attempts AS t
USING (
    SELECT account_id, webhook_id, attempt_id FROM webhook_attempts
    WHERE attempted_at < $1
    ORDER BY attempted_at
    LIMIT $2
) AS o
WHERE t.account_id = o.account_id AND t.webhook_id = o.webhook_id AND t.attempt_id = o.attempt_id;

-- name: delete_ended_webhooks
-- Webhooks of accounts that ended before a moment, at most $2.
DELETE FROM webhooks AS w
USING (
    SELECT account_id, webhook_id FROM webhooks
    WHERE ended_at < $1
    ORDER BY ended_at
    LIMIT $2
) AS o
WHERE w.account_id = o.account_id AND w.webhook_id = o.webhook_id;
