"""The sender policy: reading a draft, saving and restoring it, trying it, and the plan that production routes by."""
