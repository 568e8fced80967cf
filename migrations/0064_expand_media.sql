-- Facts about the audio of messages, and the outlines of recordings. The channel `media` measures both.

-- Null until the audio is measured.
ALTER TABLE messages ADD COLUMN media jsonb;

-- The outline of the audio `audio_key` of a message; that of replaced audio is not used. It is separate from the
-- message, because it is larger than the rest of the row and seldom read. It is deleted with its message.
CREATE TABLE waveforms (
    account_id uuid NOT NULL,
    month integer NOT NULL,
    message_id uuid NOT NULL,
    audio_key text NOT NULL,
    duration_ms integer NOT NULL,
    peaks bytea NOT NULL,
    PRIMARY KEY (account_id, month, message_id)
);
