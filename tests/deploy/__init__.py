"""What operators are given: pages, rules and charts, held to the service."""
