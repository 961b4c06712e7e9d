"""Two small languages, one tokeniser."""
