-- Index of the attempts of all webhooks of an account, in their order.

CREATE INDEX webhook_attempts_by_account ON webhook_attempts (account_id, attempt_id);
