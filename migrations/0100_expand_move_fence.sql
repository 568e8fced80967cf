-- Events of an account that another deployment serves, or of which this one has only a copy, must not be appended: they
-- would follow account.moved, or use a sequence that the account gets later. Processes learn the state of an account
-- within seconds; this trigger also stops one that was frozen for longer.
CREATE FUNCTION refuse_event_of_moved_account() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM accounts WHERE account_id = NEW.account_id AND move_state IN ('leaving', 'moved', 'arriving')
    ) THEN
        RAISE check_violation USING CONSTRAINT = 'account_is_served_here', TABLE = 'outbox',
            MESSAGE = 'the account is being moved to another deployment';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER event_of_served_account BEFORE INSERT ON outbox
FOR EACH ROW WHEN (NEW.type <> 'account.moved')
EXECUTE FUNCTION refuse_event_of_moved_account();

-- The accounts in a move. The keeper reads them in each run, and excludes them.
-- squawk-ignore require-concurrent-index-creation -- accounts are few, so the lock is short
CREATE INDEX accounts_in_move ON accounts (account_id) WHERE move_state IS NOT NULL;
