"""One file per sender service; knows neither database nor web."""
