"""The site that `tracker-browser` opens: a Django project whose folder is named by `TRACKER_SITE`."""
