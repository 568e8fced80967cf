-- The times of recent wrong PINs of a box. Enough of them lock its PIN check.

ALTER TABLE vmbox_counts ADD COLUMN pin_failed_at timestamptz[];
