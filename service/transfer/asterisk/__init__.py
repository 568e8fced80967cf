"""Import from the voicemail spool of Asterisk (app_voicemail)."""
