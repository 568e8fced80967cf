-- Stored bytes of audio: messages of each box, and messages and greetings of each account. The keeper's step
-- `recount` sets both, so what an older release changes is counted by then.
ALTER TABLE vmbox_counts ADD COLUMN stored_bytes bigint NOT NULL DEFAULT 0;

-- The total of an account is the sum of its rows. A session changes only the row of its `part`, so that
-- changes in different boxes of an account seldom wait for each other.
CREATE TABLE account_bytes (
    account_id uuid NOT NULL,
    part integer NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (account_id, part)
) WITH (fillfactor = 50);
