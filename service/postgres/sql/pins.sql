-- name: record_pin_check
-- Counts a wrong PIN of a box, or ends the count after the right one. :max_wrong_pins within :lock lock the
-- check for :lock and append the event. While the check is locked, nothing is written and locked_for_s is
-- not null. No row without the box.
-- Plan: the counts row by primary key. The right PIN writes nothing unless wrong ones are counted.
WITH locked AS MATERIALIZED (
    SELECT pin_failed_at, sequence, pin_failed_at[cardinality(pin_failed_at)] + :lock::interval AS unlocks_at
    FROM vmbox_counts
    WHERE account_id = :account_id AND vmbox_id = :vmbox_id AND deleted_at IS NULL
    FOR NO KEY UPDATE
), decision AS MATERIALIZED (
    SELECT sequence, pin_failed_at,
        CASE
            WHEN cardinality(pin_failed_at) >= :max_wrong_pins::integer AND unlocks_at > now()
                THEN ceil(extract(epoch FROM unlocks_at - now()))::integer
        END AS locked_for_s,
        -- Only wrong PINs of the last minutes count.
        ARRAY(
            SELECT failed_at FROM unnest(pin_failed_at) AS failed_at
            WHERE failed_at > now() - :lock::interval
        ) || now() AS failed_at
    FROM locked
), counts AS (
    UPDATE vmbox_counts AS c
    SET pin_failed_at = CASE WHEN NOT :is_valid::boolean THEN d.failed_at END,
        sequence = d.sequence
            + (NOT :is_valid::boolean AND cardinality(d.failed_at) >= :max_wrong_pins::integer)::integer
    FROM decision AS d
    WHERE c.account_id = :account_id AND c.vmbox_id = :vmbox_id AND d.locked_for_s IS NULL
        AND (NOT :is_valid::boolean OR d.pin_failed_at IS NOT NULL)
    RETURNING c.*
), event AS (
    SELECT c.vmbox_id, c.mailbox, c.sequence, c.new_count, c.saved_count, NULL::integer AS month,
        NULL::uuid AS message_id, 'vmbox.pin_locked' AS type,
        jsonb_build_object(
            'wrong_pins', cardinality(c.pin_failed_at),
            'locked_for_s', extract(epoch FROM :lock::interval)::integer) AS data
    FROM counts AS c
    WHERE cardinality(c.pin_failed_at) >= :max_wrong_pins::integer
), {append_event}
SELECT locked_for_s FROM decision;
