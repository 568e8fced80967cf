-- Shards of the relay. Each box hashes to one of 64 buckets, and a shard is a range of buckets. So the number of
-- shards can change without a change of a row.

-- The account is part of the hash: the events of accounts have no box.
CREATE FUNCTION relay_bucket(account_id uuid, vmbox_id uuid) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN (uuid_hash(account_id) # uuid_hash(vmbox_id)) & 63;

-- squawk-ignore require-concurrent-index-creation -- few events are unsent; README.md describes large partitions
CREATE INDEX outbox_unsent_by_bucket ON outbox (relay_bucket(account_id, vmbox_id), seq)
    WHERE stream_seq IS NULL;

-- The term of a bucket. Each relay that acquires the bucket raises it, so that an earlier relay cannot mark events.
CREATE TABLE relay_buckets (
    bucket integer PRIMARY KEY,
    term bigint NOT NULL DEFAULT 0
);
INSERT INTO relay_buckets (bucket) SELECT generate_series(0, 63);

-- The number of shards, and how often the stream lost events. Acknowledgements from before a loss are void.
ALTER TABLE relay_state
    ADD COLUMN shards integer NOT NULL DEFAULT 4,
    ADD COLUMN stream_losses bigint NOT NULL DEFAULT 0;
