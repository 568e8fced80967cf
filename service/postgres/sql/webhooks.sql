-- name: insert_webhook
-- Creates a webhook unless the account has :max_webhooks. Concurrent requests may exceed that by a few.
INSERT INTO webhooks (account_id, webhook_id, name, uri, hook, enabled, secret, document)
SELECT :account_id, :webhook_id, :name, :uri, :hook, :enabled, :secret, :document
WHERE (SELECT count(*) FROM webhooks AS w WHERE w.account_id = :account_id) < :max_webhooks::bigint
RETURNING *;

-- name: get_webhook
-- One webhook.
SELECT w.* FROM webhooks AS w WHERE w.account_id = :account_id AND w.webhook_id = :webhook_id;

-- name: list_webhooks
-- A page of the webhooks of an account, by name.
-- Plan: webhooks_by_name in order, stops when the page is full.
SELECT w.*
FROM webhooks AS w
WHERE w.account_id = :account_id AND (w.name, w.webhook_id) >= (:start_name, :start_id::uuid)
ORDER BY w.name, w.webhook_id
LIMIT :limit;

-- name: list_webhooks_descending
-- As list_webhooks in reverse order. A null :start_name starts at the last name.
SELECT w.*
FROM webhooks AS w
WHERE w.account_id = :account_id
    AND (:start_name::text IS NULL OR (w.name, w.webhook_id) <= (:start_name, :start_id::uuid))
ORDER BY w.name DESC, w.webhook_id DESC
LIMIT :limit;

-- name: update_webhook
-- Replaces the document of a webhook if its revision is still :revision. A new address or enabling it again
-- resets the failures.
UPDATE webhooks AS w
SET name = :name, uri = :uri, hook = :hook, enabled = :enabled, document = :document,
    disable_reason = CASE WHEN :enabled THEN NULL ELSE w.disable_reason END,
    failures = CASE WHEN w.uri = :uri AND w.enabled THEN w.failures ELSE 0 END,
    revision = w.revision + 1, modified_at = now()
WHERE w.account_id = :account_id AND w.webhook_id = :webhook_id AND w.revision = :revision
RETURNING w.*;

-- name: delete_webhook
-- Deletes a webhook. The keeper deletes its attempts by age.
DELETE FROM webhooks AS w WHERE w.account_id = :account_id AND w.webhook_id = :webhook_id RETURNING w.*;

-- name: end_webhooks_of_account
-- Marks the webhooks of a deleted account as ended. They still deliver the events until then, account.deleted
-- included.
UPDATE webhooks AS w SET ended_at = now() WHERE w.account_id = :account_id;

-- name: list_subscribed_webhooks
-- The enabled webhooks with one of :hooks.
SELECT w.webhook_id, w.hook FROM webhooks AS w
WHERE w.account_id = :account_id AND w.enabled AND w.hook = ANY(:hooks::text[])
ORDER BY w.webhook_id;

-- name: enable_disabled_webhooks
-- Enables the webhooks that the service disabled, and resets their failures.
UPDATE webhooks AS w
SET enabled = true, disable_reason = NULL, failures = 0, revision = w.revision + 1, modified_at = now()
WHERE w.account_id = :account_id AND w.disable_reason IS NOT NULL
RETURNING w.webhook_id;

-- name: insert_attempt
-- Records an attempt if the webhook exists.
INSERT INTO webhook_attempts (
    account_id, webhook_id, attempt_id, event_id, event_type, attempt, attempted_at, response_code,
    error, duration_ms
)
SELECT :account_id, :webhook_id, :attempt_id, :event_id, :event_type, :attempt, :attempted_at,
    :response_code, :error, :duration_ms
FROM webhooks AS w
WHERE w.account_id = :account_id AND w.webhook_id = :webhook_id;

-- name: list_attempts
-- A page of the attempts of a webhook, newest first. A null :start_id starts at the newest.
-- Plan: the primary key backwards, stops when the page is full.
SELECT t.*
FROM webhook_attempts AS t
WHERE t.account_id = :account_id AND t.webhook_id = :webhook_id
    AND (:start_id::uuid IS NULL OR t.attempt_id <= :start_id)
ORDER BY t.attempt_id DESC
LIMIT :limit;

-- name: list_attempts_ascending
-- As list_attempts, oldest first. A null :start_id starts at the oldest.
SELECT t.*
FROM webhook_attempts AS t
WHERE t.account_id = :account_id AND t.webhook_id = :webhook_id
    AND (:start_id::uuid IS NULL OR t.attempt_id >= :start_id)
ORDER BY t.attempt_id
LIMIT :limit;

-- name: list_account_attempts
-- A page of the attempts of all webhooks of an account, newest first. A null :start_id starts at the newest.
-- Plan: webhook_attempts_by_account backwards, stops when the page is full.
SELECT t.*
FROM webhook_attempts AS t
WHERE t.account_id = :account_id AND (:start_id::uuid IS NULL OR t.attempt_id <= :start_id)
ORDER BY t.attempt_id DESC
LIMIT :limit;

-- name: list_account_attempts_ascending
-- As list_account_attempts, oldest first. A null :start_id starts at the oldest.
SELECT t.*
FROM webhook_attempts AS t
WHERE t.account_id = :account_id AND (:start_id::uuid IS NULL OR t.attempt_id >= :start_id)
ORDER BY t.attempt_id
LIMIT :limit;

-- name: reset_failures
-- Resets the failures after a success. Writes nothing when there were none.
UPDATE webhooks AS w SET failures = 0
WHERE w.account_id = :account_id AND w.webhook_id = :webhook_id AND w.failures > 0;

-- name: record_failure
-- Counts a failed attempt of an enabled webhook. Disables it with :reason, or at :max_failures in a row. No
-- row when the webhook is disabled.
UPDATE webhooks AS w
SET failures = w.failures + 1,
    enabled = :reason::text IS NULL AND w.failures + 1 < :max_failures,
    disable_reason = coalesce(:reason, CASE WHEN w.failures + 1 >= :max_failures THEN 'failures' END),
    revision = w.revision
        + CASE WHEN :reason IS NULL AND w.failures + 1 < :max_failures THEN 0 ELSE 1 END,
    modified_at = CASE WHEN :reason IS NULL AND w.failures + 1 < :max_failures
        THEN w.modified_at ELSE now() END
WHERE w.account_id = :account_id AND w.webhook_id = :webhook_id AND w.enabled
RETURNING w.enabled, w.disable_reason;

-- name: drop_pending
-- Drops the pending deliveries of a webhook that is disabled or deleted, except leased ones: their worker
-- finds out. Skips locked rows, because their session may wait for a lock of this one.
-- Plan: deliveries_due, of this channel.
WITH pending AS MATERIALIZED (
    SELECT d.event_id, d.target FROM deliveries AS d
    WHERE d.account_id = :account_id AND d.channel = 'webhook' AND d.target = ANY(:targets::text[])
        AND d.status = 'pending'
        AND (d.lease_until IS NULL OR d.lease_until < now())
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE deliveries AS d
SET status = 'dropped', finished_at = now(), lease_token = NULL, lease_until = NULL
FROM pending
WHERE d.account_id = :account_id AND d.event_id = pending.event_id AND d.channel = 'webhook'
    AND d.target = pending.target;

-- name: delete_old_attempts
-- Deletes up to :limit attempts older than :before.
DELETE FROM webhook_attempts AS t
USING (
    SELECT account_id, webhook_id, attempt_id FROM webhook_attempts
    WHERE attempted_at < :before
    ORDER BY attempted_at
    LIMIT :limit
) AS o
WHERE t.account_id = o.account_id AND t.webhook_id = o.webhook_id AND t.attempt_id = o.attempt_id;

-- name: delete_ended_webhooks
-- Deletes up to :limit webhooks of accounts that were deleted before :before.
DELETE FROM webhooks AS w
USING (
    SELECT account_id, webhook_id FROM webhooks
    WHERE ended_at < :before
    ORDER BY ended_at
    LIMIT :limit
) AS o
WHERE w.account_id = o.account_id AND w.webhook_id = o.webhook_id;
