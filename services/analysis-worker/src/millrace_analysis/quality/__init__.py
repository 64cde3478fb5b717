"""What the rows of a dataset are like, and what is wrong with them."""
