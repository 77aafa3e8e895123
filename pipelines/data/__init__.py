"""Makes verified arrays with a manifest of a data source: the stage `prepare`, its checks, and how users add data."""
