"""Export to archives, and import from archives and other voicemail systems."""
