"""Messages that count: warnings about data."""
