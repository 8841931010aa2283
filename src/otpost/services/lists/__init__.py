"""How lists are read: what they are searched by, and page by page."""
