"""The mailbox dialect: a reseller API of voicemail boxes under `/voip`."""
