"""The pages of the console, a module for each subject, and what several of them share."""
