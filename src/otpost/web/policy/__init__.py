"""The sender policy's pages: the form, its buttons, the route explainer and the revisions."""
