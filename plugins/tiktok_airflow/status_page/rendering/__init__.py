"""What do the pages look like? Templates, charts, values for people, tables to download."""
