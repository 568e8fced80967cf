"""What every dialect's part of the OpenAPI document is made with; knows no dialect."""
