"""Landing: objects exactly as they arrived, never changed, at `landing/<system>/<entity>/<YYYY-MM-DD>/<name>`."""
