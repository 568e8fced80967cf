-- Webhooks: who is told of which events of an account over HTTP, and how attempts to do so ended.

CREATE TABLE webhooks (
    account_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    name text NOT NULL,
    uri text NOT NULL,
    hook text NOT NULL,
    enabled boolean NOT NULL,
    -- Set only while the service has disabled it.
    disable_reason text,
    failures integer NOT NULL DEFAULT 0,
    secret bytea NOT NULL,
    document jsonb NOT NULL,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    modified_at timestamptz NOT NULL DEFAULT now(),
    -- Set with the account's end: what happened until then is still told.
    ended_at timestamptz,
    PRIMARY KEY (account_id, webhook_id),
    CONSTRAINT enabled_webhook_has_no_disable_reason CHECK (NOT enabled OR disable_reason IS NULL)
);
CREATE INDEX webhooks_by_name ON webhooks (account_id, name, webhook_id);
CREATE INDEX ended_webhooks ON webhooks (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE webhook_attempts (
    account_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    -- UUIDv7: their order is that of the attempts.
    attempt_id uuid NOT NULL,
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    attempt integer NOT NULL,
    attempted_at timestamptz NOT NULL,
    response_code integer,
    error text,
    duration_ms integer NOT NULL,
    PRIMARY KEY (account_id, webhook_id, attempt_id)
);
CREATE INDEX webhook_attempts_by_age ON webhook_attempts (attempted_at);
