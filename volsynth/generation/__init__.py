"""Shows the person of a user's picture in other poses, as pictures and as clips."""
