-- name: insert_change
-- Records a change that has no event. Part of the transaction of the change.
INSERT INTO audit (
    account_id, action, target, principal, principal_id, credential_id, peer, request_id
)
VALUES (
    :account_id, :action, :target, :principal, :principal_id, :credential_id, :peer, :request_id
);

-- name: insert_records
-- Inserts a batch of records. The conflict clause ignores records that an earlier attempt has committed.
INSERT INTO audit (
    account_id, at, id, action, result, principal, principal_id, credential_id, peer, request_id, vmbox_id,
    month, message_id, target
)
SELECT *
FROM unnest(
    :account_ids::uuid[], :times::timestamptz[], :ids::uuid[], :actions::text[], :results::text[],
    :principals::text[], :principal_ids::uuid[], :credential_ids::uuid[], :peers::text[],
    :request_ids::text[], :vmbox_ids::uuid[], :months::integer[], :message_ids::uuid[], :targets::text[]
)
ON CONFLICT DO NOTHING;

-- name: list_records
-- The matching records among the next :scan_limit records of an account, newest first, and the last of these
-- whether it matches or not: the next page starts there.
-- Plan: the primary key backwards, month by month, stopped when the page is full. The limit of the scan is hidden
-- from the planner, as in read_unsent.
SELECT *
FROM (
    SELECT page.*, row_number() OVER (ORDER BY page.at DESC, page.id DESC) AS position
    FROM (
        SELECT a.*
        FROM audit AS a
        WHERE a.account_id = :account_id AND a.at <= :start_at AND a.at >= :since
            AND (a.at, a.id) <= (:start_at, :start_id)
        ORDER BY a.at DESC, a.id DESC
        LIMIT (SELECT :scan_limit::bigint)
    ) AS page
) AS scanned
WHERE position = :scan_limit OR (
    {is_selected}
)
ORDER BY at DESC, id DESC
LIMIT :limit;

-- name: list_records_ascending
-- As list_records, oldest first.
SELECT *
FROM (
    SELECT page.*, row_number() OVER (ORDER BY page.at, page.id) AS position
    FROM (
        SELECT a.*
        FROM audit AS a
        WHERE a.account_id = :account_id AND a.at >= :start_at AND a.at <= :until
            AND (a.at, a.id) >= (:start_at, :start_id)
        ORDER BY a.at, a.id
        LIMIT (SELECT :scan_limit::bigint)
    ) AS page
) AS scanned
WHERE position = :scan_limit OR (
    {is_selected}
)
ORDER BY at, id
LIMIT :limit;
