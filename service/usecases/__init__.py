"""What a caller may ask. Owns transactions; nothing below commits."""
