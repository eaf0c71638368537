"""What is done with a trained network: masks of new images, and a file for other programs."""
