"""One file or folder per sender service, and what they share; knows neither database nor web."""
