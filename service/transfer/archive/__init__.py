"""Archives: complete accounts in one compressed file. README.md of `transfer` has the format."""
