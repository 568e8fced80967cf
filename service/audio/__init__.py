"""The audio of messages and greetings: the only home of S3 and of audio formats."""
