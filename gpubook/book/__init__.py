"""The book itself: its notebooks executed, rendered and recorded."""
