-- The words of transcriptions with their times, and requests for a transcription.

-- `words` is an array of [start_ms, end_ms, confidence_percent, word] in the order of the audio. It is `json` because
-- it is written and read as a whole, and `jsonb` would need twice the space. Only the detail of a transcription and
-- searches read it: every other statement reads `messages` only.
CREATE TABLE transcription_words (
    account_id uuid NOT NULL,
    month integer NOT NULL,
    message_id uuid NOT NULL,
    words json NOT NULL,
    PRIMARY KEY (account_id, month, message_id)
);

-- Deletes the words with their message or transcription, like a foreign key with ON DELETE CASCADE. A foreign key
-- would prevent that the partitions of old months are detached.
CREATE FUNCTION delete_transcription_words() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM transcription_words
    WHERE account_id = OLD.account_id AND month = OLD.month AND message_id = OLD.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER words_of_deleted_message AFTER DELETE ON messages
FOR EACH ROW WHEN (OLD.transcription IS NOT NULL)
EXECUTE FUNCTION delete_transcription_words();

CREATE TRIGGER words_of_removed_transcription AFTER UPDATE OF transcription ON messages
FOR EACH ROW WHEN (OLD.transcription IS NOT NULL AND NEW.transcription IS NULL)
EXECUTE FUNCTION delete_transcription_words();

-- Time of the last request for a transcription that is not stored yet.
ALTER TABLE messages ADD COLUMN transcription_requested_at timestamptz;
