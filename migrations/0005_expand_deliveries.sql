-- What notifiers owe to whom: one row per target of an event, and one marker (target '') per event and
-- channel that says the event was dealt out, so that a replay adds nothing.

CREATE TABLE deliveries (
    account_id uuid NOT NULL,
    event_id uuid NOT NULL,
    channel text NOT NULL,
    target text NOT NULL,
    status text NOT NULL CONSTRAINT delivery_status_is_known CHECK (
        status IN ('pending', 'done', 'ignored', 'dead', 'dropped', 'fanned_out')
    ),
    attempt integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    lease_token uuid,
    last_error text,
    -- The event as it came: Postgres needs no stream to try again.
    event jsonb,
    -- What the channel keeps from one attempt to the next.
    state jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (account_id, event_id, channel, target)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
CREATE INDEX deliveries_due ON deliveries (channel, next_at) WHERE status = 'pending';
CREATE INDEX dead_deliveries ON deliveries (created_at) WHERE status = 'dead';
CREATE INDEX deliveries_by_age ON deliveries (created_at);
-- Whether a callback task runs for a number and a box is asked for every new message.
CREATE INDEX callbacks_pending ON deliveries (account_id, target)
    WHERE status = 'pending' AND channel = 'callback';
