"""Move of an account, with all accounts below it, to another deployment."""
