-- Search of messages: what can be searched becomes lexemes of one GIN index per month. It needs no extension
-- (unaccent, pg_trgm), because the owner of a managed database may often not create one.

-- The words of a text in lower case, without accents and punctuation, each after a space. `service/domain/search.py`
-- splits texts in the same way, character by character. Chinese and Japanese characters and those of Thai, Lao,
-- Khmer and Burmese are words of their own, because these scripts have no spaces.
CREATE FUNCTION searchable_text(source text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 100 RETURN CASE
    WHEN octet_length(source) = char_length(source) THEN
        regexp_replace(lower(source COLLATE "C"), '[^a-z0-9]+', ' ', 'g')
    ELSE regexp_replace(
        regexp_replace(
            replace(replace(translate(
                normalize(
                    casefold(
                        regexp_replace(normalize(source, NFKD) COLLATE "C", '[\u0300-\u036f]+', '', 'g')
                        COLLATE pg_unicode_fast) COLLATE "C",
                    NFKC),
                'łøđıħ', 'lodih'), 'æ', 'ae'), 'œ', 'oe'),
            '[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]',
            ' \& ', 'g'),
        '[\u0001-\u002f\u003a-\u0060\u007b-\u00bf\u00d7\u00f7\u2000-\u206f\u20a0-\u20cf\u2190-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u30fb\ufe00-\ufe6f\ufeff\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+',
        ' ', 'g')
END;

-- The rules for the stems of words in a language (ISO 639-1, with or without a region), or null.
CREATE FUNCTION search_language(language text) RETURNS regconfig
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE left(lower(language COLLATE "C"), 2)
    WHEN 'da' THEN 'pg_catalog.danish'::regconfig
    WHEN 'de' THEN 'pg_catalog.german'
    WHEN 'en' THEN 'pg_catalog.english'
    WHEN 'es' THEN 'pg_catalog.spanish'
    WHEN 'fi' THEN 'pg_catalog.finnish'
    WHEN 'fr' THEN 'pg_catalog.french'
    WHEN 'hu' THEN 'pg_catalog.hungarian'
    WHEN 'it' THEN 'pg_catalog.italian'
    WHEN 'nl' THEN 'pg_catalog.dutch'
    WHEN 'no' THEN 'pg_catalog.norwegian'
    WHEN 'pt' THEN 'pg_catalog.portuguese'
    WHEN 'ro' THEN 'pg_catalog.romanian'
    WHEN 'ru' THEN 'pg_catalog.russian'
    WHEN 'sv' THEN 'pg_catalog.swedish'
    WHEN 'tr' THEN 'pg_catalog.turkish'
END;

-- The stems of the words of a searchable text, separated by spaces. Null without the rules of a language.
CREATE FUNCTION search_stems(words text, rules regconfig) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 100 RETURN replace(strip(to_tsvector(rules, words))::text, '''', '');

-- The lexemes of a message. Each begins with a part of the id of its account, so the entries of an account in the
-- index lead to no message of another one. `@` stands before a part of the id of the box and `/` before the day, so
-- that a search can select boxes and days. `#` stands before the number of the caller, with and without its country
-- code, so that its beginning can be found, and `~` before the reversed number, for its end. It is PL/pgSQL because
-- an inlined SQL function would compute the number five times. The functions are qualified, because Postgres
-- computes an index with an empty search path.
CREATE FUNCTION search_lexemes(
    account_id uuid, vmbox_id uuid, received_at timestamptz, caller_id_number text, caller_id_name text,
    transcription jsonb
) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
DECLARE
    prefix text := right(account_id::text, 8);
    number text := ltrim(caller_id_number, '+0');
    words text := '@' || right(vmbox_id::text, 8) || ' /' || date_part('day', received_at AT TIME ZONE 'UTC')
        || ' ' || btrim(public.searchable_text(caller_id_name));
    said text;
BEGIN
    IF number !~ '^[1-9][0-9]{0,39}$' THEN
        number := public.comparable_caller(caller_id_number);
    END IF;
    IF number !~ '^[0-9]{1,40}$' THEN
        words := words || ' ' || btrim(public.searchable_text(caller_id_number));
    ELSIF length(number) < 9 THEN
        words := words || ' #' || number || ' ~' || reverse(number);
    ELSE
        words := words || ' #' || number || ' ~' || reverse(number) || ' #' || substr(number, CASE
            WHEN left(number, 1) IN ('1', '7') THEN 2
            WHEN left(number, 2) IN (
                '20', '27', '30', '31', '32', '33', '34', '36', '39', '40', '41', '43', '44', '45', '46', '47', '48',
                '49', '51', '52', '53', '54', '55', '56', '57', '58', '60', '61', '62', '63', '64', '65', '66', '81',
                '82', '84', '86', '90', '91', '92', '93', '94', '95', '98'
            ) THEN 3
            ELSE 4
        END);
    END IF;
    IF transcription IS NOT NULL THEN
        said := btrim(public.searchable_text(transcription ->> 'text'));
        words := concat_ws(
            ' ', words, said, public.search_stems(said, public.search_language(transcription ->> 'language')));
    END IF;
    -- A lexeme has at most 2046 bytes.
    IF octet_length(words) > 2000 THEN
        words := regexp_replace(words, '([^ ]{60})[^ ]+', '\1', 'g');
    END IF;
    RETURN array_to_tsvector(string_to_array(prefix || replace(words, ' ', ' ' || prefix), ' '));
END
$$;

-- `aftertone migrate` then creates the index of each month that exists, concurrently. New entries wait in a list of
-- at most 1 MiB per month, which makes inserts cheaper; each search reads it.
-- squawk-ignore require-concurrent-index-creation -- the index of the parent is empty
CREATE INDEX messages_by_word ON ONLY messages USING gin (
    search_lexemes(account_id, vmbox_id, received_at, caller_id_number, caller_id_name, transcription)
) WITH (gin_pending_list_limit = 1024) WHERE removed_at IS NULL;
