"""Programs that drive a client library, or a generated client, each in an environment of its own.

`uv pip compile --generate-hashes` writes the lock files for Python; in `typescript/`,
`npm install --package-lock-only --omit-lockfile-registry-resolved` writes the one for Node.
"""
