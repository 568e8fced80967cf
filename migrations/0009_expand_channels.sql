-- When each notifier channel began, so that one that is new does not tell what happened long before it.

CREATE TABLE channels (
    channel text PRIMARY KEY,
    began_at timestamptz NOT NULL
);
-- Those that run already began no later than with their first delivery.
INSERT INTO channels (channel, began_at)
SELECT channel, min(created_at) - interval '1 hour' FROM deliveries GROUP BY channel;
