"""The web inbox: a page on the public API, without a build step."""
