-- Greetings (their table comes with them).
SELECT 1;
