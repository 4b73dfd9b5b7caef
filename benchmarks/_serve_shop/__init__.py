"""The shop that `serve-latency` measures: a Django project whose folder is named by `SERVE_SHOP`."""
