"""What people look at: tables and the report."""
