-- The state of an account that is moved to another deployment, and the URL of that deployment. The columns are
-- null for all other accounts.
ALTER TABLE accounts
    ADD COLUMN move_state text,
    ADD COLUMN moved_to text;
