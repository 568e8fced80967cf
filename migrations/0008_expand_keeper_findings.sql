-- What each step of the keeper did when it last ran to its end, how many of what: watched from outside.
ALTER TABLE keeper_steps ADD COLUMN done jsonb NOT NULL DEFAULT '{}';
