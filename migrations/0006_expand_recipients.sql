-- Since when a box mails to each of its addresses, in the order of its list. An address that is not in
-- here has been there since the box was made.
ALTER TABLE vmboxes ADD COLUMN recipients jsonb NOT NULL DEFAULT '[]';
