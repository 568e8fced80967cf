"""What voicemail is: no await, no clock, no client library."""
