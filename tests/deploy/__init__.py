"""Pages, rules and charts for operators, compared with the service."""
