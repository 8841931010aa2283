"""The native API: JSON under `/v1`, problems as RFC 9457 has them, and its description."""
