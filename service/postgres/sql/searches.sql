-- Search of messages. The index messages_by_word contains the lexemes of search_lexemes (migration 0076).

-- name: read_search_terms
-- What a search needs to know about its terms: the stems of each word in the languages of search_language, and up to
-- :most of the boxes whose name contains a term. No row when :vmbox_id is not null and the box does not exist.
-- Plan: the names of all boxes of the account by vmboxes_by_name, or one box by primary key.
WITH named AS MATERIALIZED (
    SELECT v.vmbox_id, ' ' || searchable_text(v.name) || ' ' AS words
    FROM vmboxes AS v
    WHERE v.account_id = :account_id AND v.deleted_at IS NULL
        AND (:vmbox_ids::uuid[] IS NULL OR v.vmbox_id = ANY(:vmbox_ids))
    LIMIT 10000
)
SELECT
    ARRAY(
        SELECT t.number || ' ' || hex(b.vmbox_id)
        FROM unnest(:phrases::text[]) WITH ORDINALITY AS t (phrase, number)
        CROSS JOIN LATERAL (
            SELECT n.vmbox_id FROM named AS n WHERE strpos(n.words, ' ' || t.phrase || ' ') > 0 LIMIT :most
        ) AS b
    ) AS vmboxes,
    ARRAY(
        SELECT DISTINCT w.word || ' ' || stem.stem
        FROM unnest(:words::text[]) AS w (word)
        CROSS JOIN unnest('{da,de,en,es,fi,fr,hu,it,nl,no,pt,ro,ru,sv,tr}'::text[]) AS l (language)
        CROSS JOIN LATERAL search_stems(w.word, search_language(l.language)) AS stem (stem)
        WHERE stem.stem <> '' AND strpos(stem.stem, ' ') = 0
    ) AS stems
WHERE :vmbox_id::uuid IS NULL OR EXISTS (SELECT FROM named AS n WHERE n.vmbox_id = :vmbox_id);

-- name: search_messages
-- Messages of one month that contain the lexemes of :query, newest first, from a message on. Boxes that are deleted
-- are left out. `stemmed` contains the words of the transcription that have one of :stems.
-- Plan: messages_by_word of one partition, then the rows of the page and their boxes by primary key. The query
-- selects the days of the month, so `found` contains the matching messages of some days. The account is compared
-- in a form that no other index supports: the planner cannot know how many messages a query matches.
WITH found AS MATERIALIZED (
    SELECT m.id, m.vmbox_id, m.received_at
    FROM messages AS m
    WHERE (m.account_id = :account_id) IS TRUE AND m.month = :month AND m.removed_at IS NULL
        AND search_lexemes(
            m.account_id, m.vmbox_id, m.received_at, m.caller_id_number, m.caller_id_name, m.transcription
        ) @@ :query::text::tsquery
)
SELECT {message_summary}, v.name AS vmbox_name,
    CASE WHEN m.transcription ? 'language' AND :stems::text[] <> '{}' THEN ARRAY(
        SELECT DISTINCT w.word
        FROM string_to_table(searchable_text(m.transcription ->> 'text'), ' ') AS w (word)
        WHERE left(w.word, 2) = ANY(:heads::text[])
            AND search_stems(w.word, search_language(m.transcription ->> 'language')) = ANY(:stems)
    ) ELSE '{}' END AS stemmed
FROM (
    SELECT f.id, f.vmbox_id, f.received_at
    FROM found AS f
    WHERE (:vmbox_ids::uuid[] IS NULL OR f.vmbox_id = ANY(:vmbox_ids))
        AND (f.received_at, f.id) <= (:start_received_at::timestamptz, :start_id::uuid)
        AND f.received_at BETWEEN :since AND :until
    ORDER BY f.received_at DESC, f.id DESC
    OFFSET 0
) AS f
CROSS JOIN LATERAL (
    SELECT v.name FROM vmboxes AS v
    WHERE v.account_id = :account_id AND v.vmbox_id = f.vmbox_id AND v.deleted_at IS NULL
    OFFSET 0
) AS v
CROSS JOIN LATERAL (
    SELECT m.* FROM messages AS m
    WHERE m.account_id = :account_id AND m.month = :month AND m.id = f.id
        AND (:folder::text IS NULL OR m.folder = :folder)
    OFFSET 0
) AS m
ORDER BY f.received_at DESC, f.id DESC
LIMIT :limit;

-- name: list_words_of_messages
-- The words of the transcriptions of some messages, with their times.
-- Plan: each by primary key.
SELECT w.month, w.message_id, w.words
FROM unnest(:months::integer[], :ids::uuid[]) AS i (month, id)
JOIN transcription_words AS w
    ON w.account_id = :account_id AND w.month = i.month AND w.message_id = i.id;
