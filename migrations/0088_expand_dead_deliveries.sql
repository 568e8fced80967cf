-- Index for the dead deliveries of one account, which its administrators list and retry.

-- squawk-ignore require-concurrent-index-creation -- dead deliveries are few, so the build is short
CREATE INDEX dead_deliveries_of_account ON deliveries (account_id, created_at, event_id, channel, target)
    WHERE status = 'dead';
