-- name: read_lamp
-- The state of the lamp of a box, from its counts. No row when the box does not exist.
-- Plan: the counts row by primary key.
SELECT c.mailbox, c.new_count, c.saved_count, d.epoch, c.sequence
FROM vmbox_counts AS c CROSS JOIN deployment AS d
WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND c.deleted_at IS NULL;

-- name: read_lamp_of_mailbox
-- The state of the lamp of the box with the number :mailbox, stored as :number for comparison. No row when
-- no box has it.
-- Plan: the number and the counts row by primary key.
SELECT c.mailbox, c.new_count, c.saved_count, d.epoch, c.sequence
FROM vmbox_numbers AS n
JOIN vmbox_counts AS c ON c.account_id = n.account_id AND c.vmbox_id = n.vmbox_id
CROSS JOIN deployment AS d
WHERE n.account_id = :account_id AND n.number = :number AND c.mailbox = :mailbox
    AND c.deleted_at IS NULL;

-- name: list_lamp_keys
-- A page of the boxes of all accounts.
-- Plan: the primary key in order, stops when the page is full.
SELECT account_id, vmbox_id
FROM vmbox_counts
WHERE (account_id, vmbox_id) > (:after_account_id::uuid, :after_vmbox_id::uuid) AND deleted_at IS NULL
ORDER BY account_id, vmbox_id
LIMIT :limit;
