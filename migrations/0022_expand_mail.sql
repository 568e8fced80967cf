-- Consent of mail recipients. `address` is in lower case; `changed_at` is the time of the last request for
-- consent or of the last answer.
CREATE TABLE mail_recipients (
    account_id uuid NOT NULL,
    address text NOT NULL,
    consent text NOT NULL CONSTRAINT consent_is_known CHECK (
        consent IN ('requested', 'confirmed', 'unsubscribed')
    ),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, address)
);

-- Mail rate: the time of the next mail of an account at its rate. A time in the past allows a burst.
CREATE TABLE mail_rates (
    account_id uuid NOT NULL PRIMARY KEY,
    next_at timestamptz NOT NULL
);
