-- Erasures: jobs that delete the data of a person, or of a deleted account.

-- `subject_id` is the account whose data are erased. A job is listed in `account_id`: for a person the same
-- account, for a deleted account its parent. A null number means the whole account. Number and name are
-- deleted when the job is finished. `removed` counts what was erased, `pending_keys` are objects to delete.
CREATE TABLE erasures (
    account_id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    subject_id uuid NOT NULL,
    kind text NOT NULL CONSTRAINT erasure_kind_is_known CHECK (kind IN ('person', 'account')),
    caller_id_number text,
    caller_id_name text,
    caller text GENERATED ALWAYS AS (comparable_caller(caller_id_number)) STORED,
    phase text NOT NULL,
    removed jsonb NOT NULL DEFAULT '{}',
    pending_keys text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (account_id, erasure_id)
);
CREATE INDEX unfinished_erasures ON erasures (created_at) WHERE finished_at IS NULL;

-- Time at which the data of a deleted account were erased.
ALTER TABLE accounts ADD COLUMN erased_at timestamptz;
-- squawk-ignore require-concurrent-index-creation -- accounts are few, so the lock is short
CREATE INDEX accounts_to_erase ON accounts (deleted_at) WHERE deleted_at IS NOT NULL AND erased_at IS NULL;
