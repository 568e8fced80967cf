"""Import from FreeSWITCH (mod_voicemail) and FusionPBX."""
