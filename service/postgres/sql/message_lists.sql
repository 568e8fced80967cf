-- name: list_messages
-- A page of a box, newest first: no row without the box, a row of nulls when the page is empty.
-- Plan: an ordered Append over messages_by_vmbox (new_messages_by_vmbox for the folder new), newest month
-- first, that starts at the cursor and stops when the page is full or the window ends. The row comparisons are
-- written before the other bounds, because the index scan starts at the first bound and stops at the second. The months select the partitions. The limit
-- is hidden from the planner, as in read_unsent: it expects few rows of an account that came after statistics
-- and, in a new month, would read and sort all of them. So is the account of the messages: if the planner
-- expected none of it, it might read messages_by_account with all other boxes. With named partitions: a
-- MergeAppend of the same indexes.
SELECT page.*
FROM vmbox_counts AS c
LEFT JOIN LATERAL (
    SELECT {message_summary}
    FROM {messages} AS m
    WHERE m.account_id = (SELECT :account_id::uuid) AND m.vmbox_id = :vmbox_id AND m.removed_at IS NULL
        AND {window_backwards}
    ORDER BY m.month DESC, m.received_at DESC, m.id DESC
    LIMIT (SELECT :limit::bigint)
) AS page ON true
WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND c.deleted_at IS NULL;

-- name: list_account_messages
-- A page over all boxes of an account that are not deleted, with :vmbox_ids over those boxes, newest first.
-- Plan: an ordered Append over messages_by_account as in list_messages; the box of each row by primary key.
-- OFFSET 0 prevents a join that reads all boxes of the account. The new messages, which are few, are read from
-- new_messages_by_vmbox and sorted, so the planner sees their limit.
SELECT {message_summary}
FROM messages AS m
{of_existing_box}
WHERE m.account_id = :account_id AND m.removed_at IS NULL
    AND (:vmbox_ids::uuid[] IS NULL OR m.vmbox_id = ANY(:vmbox_ids))
    AND {window_backwards}
ORDER BY m.month DESC, m.received_at DESC, m.id DESC
LIMIT CASE WHEN :folder = 'new' THEN :limit ELSE (SELECT :limit::bigint) END;

-- name: list_messages_oldest_first
-- As list_messages, oldest first.
SELECT page.*
FROM vmbox_counts AS c
LEFT JOIN LATERAL (
    SELECT {message_summary}
    FROM {messages} AS m
    WHERE m.account_id = (SELECT :account_id::uuid) AND m.vmbox_id = :vmbox_id AND m.removed_at IS NULL
        AND {window_forwards}
    ORDER BY m.month, m.received_at, m.id
    LIMIT (SELECT :limit::bigint)
) AS page ON true
WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND c.deleted_at IS NULL;

-- name: list_account_messages_oldest_first
-- As list_account_messages, oldest first.
SELECT {message_summary}
FROM messages AS m
{of_existing_box}
WHERE m.account_id = :account_id AND m.removed_at IS NULL
    AND (:vmbox_ids::uuid[] IS NULL OR m.vmbox_id = ANY(:vmbox_ids))
    AND {window_forwards}
ORDER BY m.month, m.received_at, m.id
LIMIT CASE WHEN :folder = 'new' THEN :limit ELSE (SELECT :limit::bigint) END;
