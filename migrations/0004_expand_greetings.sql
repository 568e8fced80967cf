-- Greetings: what callers hear before they leave a message, and which boxes play which.

CREATE TABLE media (
    account_id uuid NOT NULL,
    media_id uuid NOT NULL,
    name text NOT NULL,
    document jsonb NOT NULL,
    audio_key text,
    audio_type text,
    audio_size bigint,
    audio_sha256 bytea,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    modified_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, media_id),
    CONSTRAINT media_audio_is_whole CHECK (
        num_nulls(audio_key, audio_type, audio_size, audio_sha256) IN (0, 4)
    )
);
CREATE INDEX media_by_name ON media (account_id, name, media_id);

-- A row for each greeting that a living box names. The reference keeps both promises under any
-- concurrency: a box names no greeting that is not there, and none goes while a box names it.
CREATE TABLE vmbox_media (
    account_id uuid NOT NULL,
    vmbox_id uuid NOT NULL,
    media_id uuid NOT NULL,
    PRIMARY KEY (account_id, vmbox_id, media_id),
    CONSTRAINT vmbox_media_exists FOREIGN KEY (account_id, media_id)
        REFERENCES media (account_id, media_id)
);
CREATE INDEX vmbox_media_by_media ON vmbox_media (account_id, media_id);
