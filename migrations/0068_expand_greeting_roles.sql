-- Greetings for a busy line, and recorded names: boxes of earlier releases may name them in their documents.

INSERT INTO vmbox_media (account_id, vmbox_id, media_id)
SELECT v.account_id, v.vmbox_id, g.media_id
FROM vmboxes AS v
CROSS JOIN LATERAL (VALUES (v.document #>> '{media,busy}'), (v.document #>> '{media,name}')) AS named (id)
JOIN media AS g
    ON g.account_id = v.account_id
    AND g.media_id = CASE WHEN named.id ~ '^[0-9a-f]{32}$' THEN named.id::uuid END
WHERE v.deleted_at IS NULL
ON CONFLICT DO NOTHING;
