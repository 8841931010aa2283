"""The rooms of the console, a module each, and what several of them share."""
