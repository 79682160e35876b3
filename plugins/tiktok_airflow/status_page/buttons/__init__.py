"""May this form be accepted? Its origin, its token, its length, and who sent it."""
