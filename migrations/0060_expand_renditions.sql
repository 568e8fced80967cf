-- Renditions: stored audio in another format. `audio_key` is the key of the original. A row points to an object that
-- exists; the object follows the row when it is removed. Renditions can be made again at any time.
CREATE TABLE renditions (
    account_id uuid NOT NULL,
    audio_key text NOT NULL,
    format text NOT NULL,
    key text NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, audio_key, format)
);

-- The quota of an account: the sum of the sizes, and the oldest renditions.
CREATE INDEX renditions_by_age ON renditions (account_id, created_at) INCLUDE (size);
