"""What fields mean, in the words of the KAZOO API docs ("Voicemail", 5.x) where those have any."""

ACCOUNT = {
    "name": "A name, unique over the deployment whatever its case",
    "realm": "A SIP realm, unique likewise",
    "max_message_count": "The limit of boxes that have none of their own; 0 is no limit",
    "timezone": "The zone of boxes that have none of their own",
    "wire_profile": "How times, lengths and rows are spelled for this account's clients",
}

USER = {
    "username": "The name to sign in with, unique in the account whatever its case",
    "password": "Kept as a hash alone; null takes it away. It is never shown",
    "email": "Where voicemail is sent to",
    "first_name": "The first name",
    "last_name": "The last name",
    "timezone": "The zone of the boxes that the user owns",
    "vm_to_email_enabled": "Whether voicemail is sent by e-mail",
}

CREDENTIALS = {
    "credentials": "The hash of `username:password` in hex",
    "method": "How it was hashed",
    "account_name": "The name of the user's account",
    "account_realm": "Its realm, which comes before its name",
    "realm": "The same as `account_realm`",
    "phone_number": "No numbers are kept: it names no account",
}

GREETING = {
    "name": "A friendly name",
    "description": "What it is for",
    "language": "The language that is spoken",
}

VMBOX = {
    "name": "A friendly name for the voicemail box",
    "mailbox": "The voicemail box number, unique in the account; digits compare by value",
    "after_forward_action": "What happens to a message after it was forwarded",
    "aliases": "Further numbers of the voicemail box, as unique as `mailbox`",
    "announcement_only": "Whether the box only plays announcements",
    "check_if_owner": "Whether the owner who calls the own voicemail is asked to sign in",
    "delete_after_notify": "Move a message to the deleted folder after its notification was sent",
    "envelope_type": "Which facts of a message are announced before it",
    "flags": "Flags set by external applications",
    "include_message_on_notify": "Whether the audio is attached to e-mails",
    "include_transcription_on_notify": "Whether the transcription is part of e-mails",
    "is_setup": "Whether the user has completed the initial configuration",
    "is_voicemail_ff_rw_enabled": "Whether one can wind forward and back during playback",
    "max_message_count": "The most new and saved messages that the box holds; 0 is no limit",
    "media": "Greetings",
    "media.unavailable": "The id of the greeting that callers hear",
    "media.temporary_unavailable": "The id of a greeting that takes its place for a while",
    "media_extension": "The audio format of recordings",
    "not_configurable": "Whether users are kept from configuring the box",
    "notify": "Notifications beside e-mail",
    "notify.callback": "Calls that tell of new messages",
    "notify.callback.attempts": "How many attempts without answer are made",
    "notify.callback.disabled": "Whether no calls are made",
    "notify.callback.interval_s": "Seconds between attempts",
    "notify.callback.number": "The number that is called",
    "notify.callback.schedule": "Seconds before each further attempt",
    "notify.callback.timeout_s": "Seconds to wait for an answer",
    "notify_email_addresses": "Who gets e-mails, in addition to the owner",
    "oldest_message_first": "Play older messages before new ones",
    "operator_number": "The number to call for the operator",
    "owner_id": "The id of the user who owns the box. In the `audian` profile 1 to 64 characters",
    "pin": "The PIN of the box. It is kept encrypted",
    "require_pin": "Whether the PIN is asked for on the user's own devices",
    "save_after_notify": "Move a message to the saved folder after its notification was sent; "
    "wins over `delete_after_notify`",
    "seek_duration_ms": "How far one winds forward and back, in milliseconds",
    "silence_hits": "Consecutive hits before the line counts as silent",
    "silence_threshold": "The score below which a hit is counted",
    "skip_envelope": "Whether the facts of a message are not announced",
    "skip_greeting": "Whether callers hear no greeting",
    "skip_instructions": "Whether callers hear no instructions",
    "timezone": "The zone for times that are read out; `inherit` takes the owner's",
    "transcribe": "Whether messages are transcribed",
    "vm_message_forward_type": "Whether one may record something before a forwarded message",
}

WEBHOOK = {
    "name": "A friendly name for the webhook",
    "uri": "Where events are sent: an http or https address without credentials, whose host has "
    "globally routable addresses only",
    "hook": "The event to be told of, or `all`",
    "enabled": "Whether events are sent. It becomes false after 50 failures in a row, and when the "
    "target answers 410",
    "custom_data": "Texts that are sent along with each event",
}

MESSAGE = {
    "timestamp": "When the message was left: Gregorian seconds (Unix seconds + 62 167 219 200) or "
    "ISO-8601; without it, now",
    "folder": "Where the message lies",
    "length": "The length of the recording in milliseconds (`audian` profile: seconds); measured "
    "when it is not given",
    "caller_id_number": "The caller's number",
    "caller_id_name": "The caller's name",
    "call_id": "The id of the call",
    "from": "Who called, as `user@realm`",
    "to": "Who was called, as `user@realm`",
}
