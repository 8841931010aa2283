"""JSON over HTTP: the native API, health, metrics and the description of it all."""

from otpost.api.endpoint import Surroundings
from otpost.api.routes import application, description, readiness

__all__ = ["Surroundings", "application", "description", "readiness"]
