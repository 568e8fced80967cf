"""The Kazoo dialect: `/v2/...`."""
