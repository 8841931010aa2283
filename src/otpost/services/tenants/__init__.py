"""A tenant's own: its keys, and who has used them."""
