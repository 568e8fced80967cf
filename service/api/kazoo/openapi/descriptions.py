"""Descriptions of fields, in the words of the KAZOO API docs ("Voicemail", 5.x) if it has any."""

_DELETED_DAYS = (
    "The days after which a message in the folder `deleted` expires. They begin when it "
    "is put there"
)

ACCOUNT = {
    "deleted_retention_days": _DELETED_DAYS,
    "message_retention_days": "The days after which a message expires, in boxes without their own",
    "name": "The name, unique in the deployment regardless of case",
    "realm": "The SIP realm, unique in the deployment regardless of case",
    "max_message_count": "The limit of boxes without their own limit; 0 is no limit",
    "normalize_audio": "Whether recordings are converted to the `media_extension` of their box",
    "notify_audio_format": "The audio format of e-mails of boxes without their own",
    "redirect_audio": "Whether downloads of recordings are redirected to the audio store",
    "timezone": "The time zone of boxes without their own time zone",
    "trash_days": "The days for which a removed message can be restored",
    "wire_profile": "The format of times, lengths and rows for clients of the account",
}

USER = {
    "username": "The name to sign in with, unique in the account regardless of case",
    "password": "Stored only as a hash and never returned; null removes it",
    "email": "The address for voicemail notifications",
    "first_name": "The first name",
    "last_name": "The last name",
    "priv_level": "`admin` has access to the whole account, `user` to the boxes that it owns",
    "timezone": "The time zone of the boxes that the user owns",
    "vm_to_email_enabled": "Whether voicemail is sent by e-mail",
}

CREDENTIALS = {
    "credentials": "The hash of `username:password` in hex",
    "method": "The algorithm of the hash",
    "account_name": "The name of the account",
    "account_realm": "The realm of the account; it takes precedence over the name",
    "realm": "An alias of `account_realm`",
    "phone_number": "Phone numbers are not stored, so this matches no account",
}

GREETING = {
    "name": "A friendly name",
    "description": "The purpose of the greeting",
    "language": "The language of the greeting",
    "content_type": "The type of its audio",
    "content_length": "The size of its audio in bytes",
}

VMBOX = {
    "name": "A friendly name for the voicemail box",
    "mailbox": "The voicemail box number, unique in the account; digits are compared by value",
    "after_forward_action": "The action on a message after it was forwarded: `save` moves it to "
    "`saved`; with `prompt` the client asks its user, and sends the action with the request",
    "aliases": "Further numbers of the voicemail box, unique like `mailbox`",
    "announcement_only": "Whether the box only plays announcements",
    "check_if_owner": "Whether the owner is asked to sign in on calling the own voicemail",
    "delete_after_notify": "Move a message to the deleted folder after its notification was sent",
    "deleted_retention_days": _DELETED_DAYS,
    "envelope_type": "The details of a message that are announced before it",
    "flags": "Flags set by external applications",
    "folders": "The number of messages by folder",
    "include_message_on_notify": "Whether the audio is attached to e-mails",
    "include_transcription_on_notify": "Whether the transcription is part of e-mails",
    "is_setup": "Whether the user has completed the initial configuration; the first greeting "
    "sets it",
    "is_voicemail_ff_rw_enabled": "Whether fast forward and rewind work during playback",
    "max_message_count": "The maximum number of new and saved messages; 0 is no limit",
    "message_retention_days": "The days after which a message expires, at most the limit of the "
    "account",
    "media": "Greetings",
    "media.unavailable": "The id of the greeting that callers hear",
    "media.temporary_unavailable": "The id of a greeting that replaces the others, between its "
    "start and its end if these are set",
    "media.temporary_unavailable_start": "The start of the temporary greeting",
    "media.temporary_unavailable_end": "The end of the temporary greeting",
    "media.busy": "The id of the greeting for a busy line",
    "media.name": "The id of the recorded name of the user",
    "media_extension": "The audio format of recordings, see `normalize_audio` of the account",
    "notify_audio_format": "The audio format of e-mails; by default the stored one",
    "not_configurable": "Whether users may not configure the box",
    "notify": "Notifications in addition to e-mail",
    "notify.callback": "Calls that announce new messages",
    "notify.callback.attempts": "The maximum number of unanswered attempts",
    "notify.callback.disabled": "Whether calls are disabled",
    "notify.callback.interval_s": "Seconds between attempts",
    "notify.callback.number": "The number to call",
    "notify.callback.schedule": "Seconds before each further attempt",
    "notify.callback.timeout_s": "Seconds to wait for an answer",
    "notify_email_addresses": "Recipients of e-mails in addition to the owner",
    "oldest_message_first": "Play older messages before new ones",
    "operator_number": "The number to call for the operator",
    "owner_id": "The id of the user who owns the box. In the `audian` profile 1 to 64 characters",
    "pin": "The PIN of the box. It is stored encrypted",
    "require_pin": "Whether the PIN is required on the user's own devices",
    "save_after_notify": "Move a message to the saved folder after its notification was sent; "
    "takes precedence over `delete_after_notify`",
    "seek_duration_ms": "The duration of fast forward and rewind in milliseconds",
    "silence_hits": "Consecutive hits before the line counts as silent",
    "silence_threshold": "The score below which a hit is counted",
    "skip_envelope": "Whether the details of a message are not announced",
    "skip_greeting": "Whether callers hear no greeting",
    "skip_instructions": "Whether callers hear no instructions",
    "timezone": "The time zone of announced times; `inherit` uses the time zone of the owner",
    "transcribe": "Whether messages are transcribed",
    "transcription_language": "The language of messages (ISO 639-1); absent: the language of the "
    "deployment, or detected",
    "vm_message_forward_type": "Whether a comment may be added to a forwarded message",
}

FORWARD = {
    "source_id": "The boxes that get the message",
    "prepend": "The id of a greeting that is played before the message",
    "after_forward_action": "What happens to the original: it stays, or moves to `saved` or "
    "`deleted`. The default is the setting of the box: `save`, or nothing for `prompt`",
}

API_KEYS = {
    "name": "A friendly name for the key",
    "scopes": "The permissions; `account:admin` includes all others",
    "vmbox_ids": "The only boxes that the key gives access to",
    "expires": "The end of its validity: Gregorian seconds or ISO-8601",
    "last_used": "The last use, written at most once a minute",
}
WEBHOOK = {
    "name": "A friendly name for the webhook",
    "uri": "The target of events: an http or https address without credentials. All addresses of "
    "its host must be globally routable",
    "hook": "The type of the events, with or without `voicemail.`, or `all`: these are sent as "
    "CloudEvents. `notifications` and `object` send flat payloads with the keys of KAZOO",
    "type": "For `notifications` and `object`: the type of the events. The default is the value in "
    "`custom_data`, or `all`",
    "action": "For `object`: the change. The default is the value in `custom_data`, or `all`",
    "format": "For `notifications` and `object`: the encoding of the body; the default is "
    "`form-data`. CloudEvents are always JSON",
    "enabled": "Whether events are sent. The service sets it to false after 50 failures in a row, "
    "and when the target answers 410",
    "disable_reason": "The reason why the service disabled the webhook",
    "custom_data": "Strings that are sent with each event",
}

ERASURE = {
    "caller_id_number": "The number of the person in any spelling",
    "caller_id_name": "The name of the person. Messages with this name are erased, too, with any "
    "number",
}

HOLD = {
    "name": "A friendly name, such as the file number",
    "reason": "The reason, such as the court order",
    "vmbox_ids": "The boxes, also deleted ones; absent for the whole account",
    "caller_id_number": "The number of the caller in any spelling, with or without the country "
    "code; absent for all callers",
    "created_from": "The time of the first message: Gregorian seconds or ISO-8601",
    "created_to": "The time of the last message: Gregorian seconds or ISO-8601",
}

UPLOAD = {
    "size": "The size of the audio in bytes",
    "sha256": "The SHA-256 of the audio in hex",
    "content_type": "The type of the audio. The bytes must be of this type",
}

DELIVERIES = {
    "event_id": "The event",
    "channel": "The channel, such as `email`",
    "target": "The recipient, as in the list",
}

LINK = {
    "expires_in_s": "The lifetime of the link in seconds",
    "token": "The value of `mail` in the link of a mail",
}

MESSAGE = {
    "timestamp": "The time of the message: Gregorian seconds (Unix seconds + 62 167 219 200) or "
    "ISO-8601; the default is now. A time up to 24 hours in the future is stored as now",
    "folder": "The folder of the message",
    "length": "The length of the recording in milliseconds (`audian` profile: seconds); measured "
    "by default",
    "caller_id_number": "The number of the caller; a longer text is cut, and named in `warnings`",
    "caller_id_name": "The name of the caller; cut like the number",
    "call_id": "The id of the call",
    "from": "The address of the caller, as `user@realm`",
    "to": "The address of the recipient, as `user@realm`",
}
