-- name: lock_holds
-- Waits for the statements that delete or replace messages: they lock the table for row locks (is_held). Later
-- ones wait until this transaction ends, and see its hold. Reading is not blocked.
LOCK TABLE holds IN EXCLUSIVE MODE;

-- name: insert_hold
-- Creates a hold unless the account has :max_holds. `is_number` is false if the caller number has no characters
-- that count.
INSERT INTO holds AS h (
    account_id, hold_id, name, reason, vmbox_ids, caller_id_number, received_from, received_to
)
SELECT :account_id, :hold_id, :name, :reason, :vmbox_ids, :caller_id_number, :received_from, :received_to
WHERE (SELECT count(*) FROM holds AS o WHERE o.account_id = :account_id) < :max_holds::bigint
RETURNING h.*, coalesce(h.caller <> '', true) AS is_number;

-- name: get_hold
-- One hold.
SELECT h.* FROM holds AS h WHERE h.account_id = :account_id AND h.hold_id = :hold_id;

-- name: list_holds
-- A page of the holds of an account, by name.
-- Plan: holds_by_name in order, stops when the page is full.
SELECT h.* FROM holds AS h
WHERE h.account_id = :account_id AND (h.name, h.hold_id) >= (:start_name, :start_id::uuid)
ORDER BY h.name, h.hold_id
LIMIT :limit;

-- name: list_holds_descending
-- As list_holds in reverse order. A null :start_name starts at the last name.
SELECT h.* FROM holds AS h
WHERE h.account_id = :account_id
    AND (:start_name::text IS NULL OR (h.name, h.hold_id) <= (:start_name, :start_id::uuid))
ORDER BY h.name DESC, h.hold_id DESC
LIMIT :limit;

-- name: release_hold
-- Deletes a hold.
DELETE FROM holds AS h WHERE h.account_id = :account_id AND h.hold_id = :hold_id RETURNING h.*;

-- name: filter_vmboxes
-- The boxes among :vmbox_ids that exist. A deleted box exists until its messages are purged.
SELECT c.vmbox_id FROM vmbox_counts AS c
WHERE c.account_id = :account_id AND c.vmbox_id = ANY(:vmbox_ids::uuid[]);

-- name: is_month_held
-- True when a hold covers a message of the month.
-- Plan: all holds; the messages of their accounts by primary key of one partition, until the first held one.
SELECT EXISTS (
    SELECT FROM holds AS h JOIN messages AS m ON {hold_covers} WHERE m.month = :month
);

-- name: filter_held
-- The held messages among the given removed ones of a box.
-- Plan: the partitions of :distinct_months, rows by primary key.
SELECT m.month, m.id
FROM messages AS m
WHERE m.account_id = :account_id AND m.month = ANY(:distinct_months::integer[])
    AND m.id = ANY(:message_ids::uuid[]) AND m.vmbox_id = :vmbox_id AND m.removed_at IS NOT NULL
    AND (m.month, m.id) IN (
        SELECT r.month, r.id FROM unnest(:months::integer[], :message_ids) AS r (month, id)
    )
    AND EXISTS (SELECT FROM holds AS h WHERE {hold_covers});

-- name: select_held
-- The held messages among the given ones of a box, removed or not.
-- Plan: the partitions of :distinct_months, rows by primary key.
SELECT m.month, m.id
FROM messages AS m
WHERE m.account_id = :account_id AND m.month = ANY(:distinct_months::integer[])
    AND m.id = ANY(:message_ids::uuid[]) AND m.vmbox_id = :vmbox_id
    AND (m.month, m.id) IN (
        SELECT r.month, r.id FROM unnest(:months::integer[], :message_ids) AS r (month, id)
    )
    AND EXISTS (SELECT FROM holds AS h WHERE {hold_covers});

-- name: list_held_messages
-- The messages that a hold covers among the next :scan_limit messages of an account, the last stored first,
-- removed ones included, and the last of these messages: the next page starts there.
-- Plan: the primary key backwards, month by month, stopped after :scan_limit rows. The limit of the scan is
-- hidden from the planner, as in read_unsent.
SELECT m.*
FROM (
    SELECT page.*, row_number() OVER (ORDER BY page.month DESC, page.id DESC) AS position
    FROM (
        SELECT p.*
        FROM messages AS p
        WHERE p.account_id = :account_id AND p.month <= :start_month
            AND (p.month, p.id) <= (:start_month::integer, :start_id::uuid)
        ORDER BY p.month DESC, p.id DESC
        LIMIT (SELECT :scan_limit::bigint)
    ) AS page
) AS m
LEFT JOIN holds AS h ON h.account_id = :account_id AND h.hold_id = :hold_id AND {hold_covers}
WHERE m.position = :scan_limit OR h.hold_id IS NOT NULL
ORDER BY m.month DESC, m.id DESC
LIMIT :limit;

-- name: get_held_message
-- One message that a hold covers, removed or not.
-- Plan: the hold and the message by primary key.
SELECT m.*
FROM holds AS h JOIN messages AS m ON {hold_covers}
WHERE h.account_id = :account_id AND h.hold_id = :hold_id
    AND m.account_id = :account_id AND m.month = :month AND m.id = :message_id;
