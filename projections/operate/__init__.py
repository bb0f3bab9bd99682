"""What an operator asks of the projections, and does about records that were set aside. Works on the store alone."""
