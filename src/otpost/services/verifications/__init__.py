"""Verifications: start, resend, check, and the limits that hold against guessing and pumping."""
