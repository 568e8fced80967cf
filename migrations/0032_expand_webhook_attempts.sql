-- Index of the attempts of all webhooks of an account, in their order.

-- A table with millions of attempts reaches the timeout here. Then create the index before, with CONCURRENTLY.
-- squawk-ignore require-concurrent-index-creation -- attempts are kept for 15 days, and exist only with webhooks
CREATE INDEX IF NOT EXISTS webhook_attempts_by_account ON webhook_attempts (account_id, attempt_id);
