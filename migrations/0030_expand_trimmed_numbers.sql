-- The numbers of boxes are compared without the spaces around them, so " 4101" is the number 4101. A number
-- that another box has already stays as it is.
UPDATE vmbox_numbers AS n
SET number = trimmed.number
FROM (
    SELECT DISTINCT ON (account_id, number) account_id, number, stored
    FROM (
        SELECT account_id, stored,
            CASE WHEN bare ~ '^[0-9]+$' THEN coalesce(nullif(ltrim(bare, '0'), ''), '0') ELSE bare END AS number
        FROM (SELECT account_id, number AS stored, btrim(number, E' \t\r\n') AS bare FROM vmbox_numbers) AS b
        WHERE bare <> stored
    ) AS numbers
    ORDER BY account_id, number, stored
) AS trimmed
WHERE n.account_id = trimmed.account_id AND n.number = trimmed.stored
    AND NOT EXISTS (
        SELECT FROM vmbox_numbers AS other
        WHERE other.account_id = n.account_id AND other.number = trimmed.number
    );
