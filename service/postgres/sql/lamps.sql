-- name: read_lamp
-- The level of a box's lamp as its counts say; no row when there is no such box.
-- Plan: the counts row by primary key.
SELECT c.mailbox, c.new_count, c.saved_count, d.epoch, c.sequence
FROM vmbox_counts AS c CROSS JOIN deployment AS d
WHERE c.account_id = $1 AND c.vmbox_id = $2 AND c.deleted_at IS NULL;

-- name: read_lamp_of_mailbox
-- The level of the box whose own number is $3, which compares as $2; no row when there is none.
-- Plan: the number by primary key, then the counts row likewise.
SELECT c.mailbox, c.new_count, c.saved_count, d.epoch, c.sequence
FROM vmbox_numbers AS n
JOIN vmbox_counts AS c ON c.account_id = n.account_id AND c.vmbox_id = n.vmbox_id
CROSS JOIN deployment AS d
WHERE n.account_id = $1 AND n.number = $2 AND c.mailbox = $3 AND c.deleted_at IS NULL;

-- name: list_lamp_keys
-- The boxes of all accounts, in pages.
-- Plan: the primary key in order, stops when the page is full.
SELECT account_id, vmbox_id
FROM vmbox_counts
WHERE (account_id, vmbox_id) > ($1::uuid, $2::uuid) AND deleted_at IS NULL
ORDER BY account_id, vmbox_id
LIMIT $3;
