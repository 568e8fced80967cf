-- Exports that administrators start over HTTP.

-- name: insert_export
-- Starts an export. No row when the account has a pending one.
INSERT INTO export_jobs (account_id, export_id)
VALUES (:account_id, :export_id)
ON CONFLICT (account_id) WHERE status = 'pending' DO NOTHING
RETURNING *;

-- name: get_export
-- One export.
SELECT * FROM export_jobs WHERE account_id = :account_id AND export_id = :export_id;

-- name: list_exports
-- The newest exports of an account.
-- Plan: the primary key backwards; ids grow with the time.
SELECT * FROM export_jobs WHERE account_id = :account_id ORDER BY export_id DESC LIMIT :limit;

-- name: find_pending_export
-- The oldest pending export of all accounts.
-- Plan: pending_export_is_one and a sort; an account has at most one.
SELECT * FROM export_jobs WHERE status = 'pending' ORDER BY created_at, export_id LIMIT 1;

-- name: record_export_progress
-- Records the progress of a pending export.
UPDATE export_jobs
SET messages = :messages, exported = :exported, missing_audio = :missing_audio
WHERE account_id = :account_id AND export_id = :export_id AND status = 'pending';

-- name: finish_export
-- Ends a pending export: done with :archive_size, or failed with :problem. No row when it was deleted.
UPDATE export_jobs
SET status = CASE WHEN :problem::text IS NULL THEN 'done' ELSE 'failed' END,
    archive_size = :archive_size, problem = :problem, finished_at = now()
WHERE account_id = :account_id AND export_id = :export_id AND status = 'pending'
RETURNING export_id;

-- name: get_lineage
-- The accounts above an account and the account itself, also when it is deleted.
SELECT ancestors || account_id FROM accounts WHERE account_id = :account_id;

-- name: list_old_exports
-- Exports of all accounts that were started before :before.
-- Plan: export_jobs_by_age, stops at the limit.
SELECT * FROM export_jobs WHERE created_at < :before ORDER BY created_at LIMIT :limit;

-- name: delete_export
-- Deletes an export after its archive.
DELETE FROM export_jobs WHERE account_id = :account_id AND export_id = :export_id;
