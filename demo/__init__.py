"""The story: what Anabranch does, shown with its public names alone."""
