"""Audio of messages and greetings. The only package that uses S3 and reads audio formats."""
