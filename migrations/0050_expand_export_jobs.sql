-- Exports that administrators start over HTTP. The keeper writes their archives to the bucket.

CREATE TABLE export_jobs (
    account_id uuid NOT NULL,
    export_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CONSTRAINT export_status_is_known CHECK (status IN ('pending', 'done', 'failed')),
    messages bigint NOT NULL DEFAULT 0,
    exported bigint NOT NULL DEFAULT 0,
    missing_audio bigint NOT NULL DEFAULT 0,
    archive_size bigint,
    problem text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (account_id, export_id)
);

-- An account has one export at a time.
CREATE UNIQUE INDEX pending_export_is_one ON export_jobs (account_id) WHERE status = 'pending';
CREATE INDEX export_jobs_by_age ON export_jobs (created_at);
