-- The steps in which a message was forwarded, the oldest first: box, id, actor and time of each.

ALTER TABLE messages ADD COLUMN forwarded jsonb;
