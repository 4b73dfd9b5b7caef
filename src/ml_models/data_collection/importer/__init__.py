"""Import history: files of past events, once each, into the lake."""
