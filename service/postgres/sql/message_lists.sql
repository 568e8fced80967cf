-- name: list_messages
-- A page of a box, newest first: no row without the box, a row of nulls when the page is empty.
-- Plan: an ordered Append over messages_by_vmbox (new_messages_by_vmbox for the folder new), newest
-- month first, that begins at the cursor and stops when the page is full. The row comparison stands
-- before the other bounds, because the index scan begins at the first bound it is given; the months
-- choose the partitions.
SELECT page.*
FROM vmbox_counts AS c
LEFT JOIN LATERAL (
    SELECT m.*
    FROM messages AS m
    WHERE m.account_id = $1 AND m.vmbox_id = $2 AND m.removed_at IS NULL
        AND (m.month, m.received_at, m.id) <= ($8::integer, $9::timestamptz, $10::uuid)
        AND m.month BETWEEN $3 AND least($4::integer, $8)
        AND m.received_at BETWEEN $5 AND $6
        AND ($7::text IS NULL OR m.folder = $7)
    ORDER BY m.month DESC, m.received_at DESC, m.id DESC
    LIMIT $11
) AS page ON true
WHERE c.account_id = $1 AND c.vmbox_id = $2 AND c.deleted_at IS NULL;

-- name: list_account_messages
-- A page over all living boxes of an account, newest first.
-- Plan: an ordered Append over messages_by_account as in list_messages; each row's box by primary key.
-- OFFSET 0 keeps the planner from a join that reads all boxes of the account.
SELECT m.*
FROM messages AS m
CROSS JOIN LATERAL (
    SELECT FROM vmbox_counts AS c
    WHERE c.account_id = $1 AND c.vmbox_id = m.vmbox_id AND c.deleted_at IS NULL
    OFFSET 0
) AS box
WHERE m.account_id = $1 AND m.removed_at IS NULL
    AND (m.month, m.received_at, m.id) <= ($7::integer, $8::timestamptz, $9::uuid)
    AND m.month BETWEEN $2 AND least($3::integer, $7)
    AND m.received_at BETWEEN $4 AND $5
    AND ($6::text IS NULL OR m.folder = $6)
ORDER BY m.month DESC, m.received_at DESC, m.id DESC
LIMIT $10;

-- name: list_messages_oldest_first
-- A page of a box, oldest first: as list_messages the other way round.
SELECT page.*
FROM vmbox_counts AS c
LEFT JOIN LATERAL (
    SELECT m.*
    FROM messages AS m
    WHERE m.account_id = $1 AND m.vmbox_id = $2 AND m.removed_at IS NULL
        AND (m.month, m.received_at, m.id) >= ($8::integer, $9::timestamptz, $10::uuid)
        AND (m.month, m.received_at) <= ($4::integer, $6::timestamptz)
        AND m.month BETWEEN greatest($3::integer, $8) AND $4
        AND m.received_at BETWEEN $5 AND $6
        AND ($7::text IS NULL OR m.folder = $7)
    ORDER BY m.month, m.received_at, m.id
    LIMIT $11
) AS page ON true
WHERE c.account_id = $1 AND c.vmbox_id = $2 AND c.deleted_at IS NULL;

-- name: list_account_messages_oldest_first
-- A page over all living boxes of an account, oldest first: as list_account_messages the other way
-- round.
SELECT m.*
FROM messages AS m
CROSS JOIN LATERAL (
    SELECT FROM vmbox_counts AS c
    WHERE c.account_id = $1 AND c.vmbox_id = m.vmbox_id AND c.deleted_at IS NULL
    OFFSET 0
) AS box
WHERE m.account_id = $1 AND m.removed_at IS NULL
    AND (m.month, m.received_at, m.id) >= ($7::integer, $8::timestamptz, $9::uuid)
    AND (m.month, m.received_at) <= ($3::integer, $5::timestamptz)
    AND m.month BETWEEN greatest($2::integer, $7) AND $3
    AND m.received_at BETWEEN $4 AND $5
    AND ($6::text IS NULL OR m.folder = $6)
ORDER BY m.month, m.received_at, m.id
LIMIT $10;
