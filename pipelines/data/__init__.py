"""From a source to verified arrays with a manifest: the stage `prepare`, what it refuses, and how users add data."""
